/**
 * Cold start: from before the import to after the first instruction, in processes of their own.
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
