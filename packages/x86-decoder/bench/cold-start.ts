/**
 * Cold start: from before the import to after the first instruction, and the first pass over a file, in processes of their own.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const PACKAGE = fileURLToPath(new URL('..', import.meta.url))
const ROUNDS = 15

/** Decodes the first byte of a buffer of NOPs, or what a caller puts in the buffer's place. */
const ours = (bytes: string): string => `
  const start = performance.now()
  const { decodeInto, Instruction } = await import('@retrap/x86-decoder')
  const bytes = ${bytes}
  const insn = new Instruction()
  decodeInto(bytes, 0, bytes.length, 64, insn)
  console.log(performance.now() - start)
`
const iced = `
  const start = performance.now()
  const { Decoder, DecoderOptions, Instruction } = await import('iced-x86')
  const decoder = new Decoder(64, new Uint8Array(16).fill(0x55), DecoderOptions.None)
  const insn = new Instruction()
  decoder.decodeOut(insn)
  console.log(performance.now() - start)
`

function milliseconds(code: string): number {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: PACKAGE,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
  return Number(stdout)
}

/** Prints the lines of a file as the README's first example does, once; the time is the processor's, of the thread. */
const firstPass = (imports: string, loop: string): string => `
  const { readFileSync } = await import('node:fs')
  ${imports}
  const bytes = new Uint8Array(readFileSync(process.env.RETRAP_BENCH_CODE))
  let sum = 0
  const start = process.threadCpuUsage().user
  ${loop}
  console.log((process.threadCpuUsage().user - start) / 1000)
`
const ourFirstPass = firstPass(
  "const { decodeAll, formatIntel } = await import('@retrap/x86-decoder')",
  'for (const insn of decodeAll(bytes, { mode: 64, address: 0x401000n })) sum += formatIntel(insn).length',
)
const icedFirstPass = firstPass(
  "const { Decoder, DecoderOptions, Formatter, FormatterSyntax, Instruction } = await import('iced-x86')",
  `const decoder = new Decoder(64, bytes, DecoderOptions.None)
  const formatter = new Formatter(FormatterSyntax.Intel)
  const insn = new Instruction()
  while (decoder.canDecode) {
    decoder.decodeOut(insn)
    sum += formatter.format(insn).length
  }`,
)

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number

/** Prints the line of the comparison. */
export function coldStart(): void {
  const times: [common: number[], uncommon: number[], iced: number[]] = [[], [], []]
  for (let round = 0; round < ROUNDS; round++) {
    times[0].push(milliseconds(ours('new Uint8Array(16).fill(0x55)')))
    // VADDPS, which needs the trees.
    times[1].push(milliseconds(ours('Uint8Array.of(0xc5, 0xec, 0x58, 0xcb)')))
    times[2].push(milliseconds(iced))
  }
  const [common, uncommon, peer] = times.map(median) as [number, number, number]
  console.log(
    `cold-start: ${(peer / uncommon).toFixed(2)} x iced (import to first instruction, median of ${ROUNDS} processes: ` +
      `PUSH ${common.toFixed(1)} ms, VADDPS ${uncommon.toFixed(1)} ms, iced-x86 ${peer.toFixed(1)} ms)`,
  )
}

/** Prints the line of the first pass over the code in a file. */
export function compareFirstPass(path: string): void {
  process.env['RETRAP_BENCH_CODE'] = path
  const times: [ours: number[], iced: number[]] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    times[0].push(milliseconds(ourFirstPass))
    times[1].push(milliseconds(icedFirstPass))
  }
  const [ours_, peer] = times.map(median) as [number, number]
  console.log(
    `first-pass: ${(peer / ours_).toFixed(2)} x iced (decodeAll with formatIntel, against decodeOut with format, once in a ` +
      `process, median of ${ROUNDS}: ${ours_.toFixed(0)} ms of processor time, iced-x86 ${peer.toFixed(0)} ms)`,
  )
}
