/** A guest that does little but use a Verilog design: its runs agree, and are replayed without the design. */
import { copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { skipNote } from '@retrap/tooling/skip'
import { buildDesign, hasVerilator } from '@retrap/tooling/verilator'
import { al, Assembler, dword, dx, eax, ebx, ecx, esp, imm16, imm32 } from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { checkDevice, PARTS } from '../../src/commands/device-check/check.ts'
import { BROKEN_FRAMES } from '../../src/commands/device-check/parts/broken.ts'
import { runRetrap } from '../support/processes.ts'

const hosting = fileURLToPath(new URL('../../../../packages/device-hosting/', import.meta.url))
const scratch = temporaryFolder('verilator')
const note = skipNote(hasVerilator, 'there is no verilator or g++')
const DEADLINE_MS = 60_000

const KERNEL = 0x10_0000
const BUFFER = 0x20_0000
// Of probe.v.
const REGISTERS = 0xfed9_0000
const [COUNT, WORD, ALARM, CONTROL, ADDRESS, TRANSFER] = [0, 4, 8, 12, 16, 20].map((at) => REGISTERS + at) as [
  ...[number, number, number, number, number, number],
]
const CYCLES = 20_000

/**
 * Waits for the design's interrupt, prints at which of its cycles it came, and a word that the design has written.
 *
 * @param asks - in between it prints `?`, waits for a byte, and prints the design's cycle then
 */
function probingKernel(asks: boolean): Uint8Array {
  const asm = new Assembler({ bits: 32, address: KERNEL })
  const entry = asm.label('entry')
  const print = asm.label('print')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), KERNEL, KERNEL, 0, 0, entry)
  // EBX as eight letters from A to P.
  asm.bind(print).mov(ecx, imm32(8)).mov(dx, imm16(0x3f8))
  const letter = asm.here()
  asm.rol(ebx, 4).mov(eax, ebx).and(al, 15).add(al, 0x41).out(dx, al).dec(ecx).jnz(letter).ret()
  asm.bind(entry).mov(dword(ALARM), imm32(CYCLES)).mov(dword(CONTROL), imm32(1))
  // The interrupt controller shows what it is asked for.
  const waiting = asm.mov(dx, imm16(0x20)).here()
  asm
    .in(al, dx)
    .test(al, 1 << 5)
    .jz(waiting)
  asm.mov(ebx, dword(COUNT)).mov(esp, imm32(0x9000)).call(print)
  if (asks) {
    const unanswered = asm.mov(al, 0x3f).out(dx, al).mov(dx, imm16(0x3fd)).here()
    asm.in(al, dx).test(al, 1).jz(unanswered)
    asm.mov(ebx, dword(COUNT)).call(print)
  }
  asm.mov(dword(WORD), imm32(0x0012_3456)).mov(dword(ADDRESS), imm32(BUFFER)).mov(dword(TRANSFER), imm32(2))
  const moving = asm.here()
  asm.mov(eax, dword(TRANSFER)).test(eax, eax).jnz(moving)
  asm.mov(ebx, dword(BUFFER)).call(print)
  asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
  return asm.assemble().bytes
}

const PROBE = {
  top: 'probe',
  sources: [join(hosting, 'test/protocol/probe/probe.v')],
  main: join(hosting, 'test/protocol/probe/main.cpp'),
  include: [join(hosting, 'sdk/c'), join(hosting, 'sdk/verilator')],
}
const program = join(scratch, 'probe')
const kernel = join(scratch, 'kernel')
const asking = join(scratch, 'asking')
if (hasVerilator) {
  copyFileSync(await buildDesign(PROBE), program)
  writeFileSync(kernel, probingKernel(false))
  writeFileSync(asking, probingKernel(true))
}
const letters = (value: number): string =>
  [...value.toString(16).padStart(8, '0')].map((digit) => String.fromCharCode(65 + Number.parseInt(digit, 16))).join('')

const device = ['--device', `exec:exec ${program}`]

async function record(name: string) {
  const { stdout, stderr } = await runRetrap(['run', '--kernel', kernel, ...device, '--record', join(scratch, name)], {
    deadlineMs: DEADLINE_MS,
  })
  return { stdout, stderr, instructions: /recorded (\d+) instructions/.exec(stderr)?.[1] }
}

test.skipIf(!hasVerilator)(`the bridge keeps to the document${note}`, async () => {
  const lines: string[] = []
  const parts = PARTS.filter((part) => part !== BROKEN_FRAMES)
  // A design that was woken goes on from a saved state, and does not stay there.
  await checkDevice({
    address: { command: `exec ${program}` },
    parts,
    writes: false,
    print: (line) => lines.push(line),
  })
  expect(lines.filter((line) => line.startsWith('FAIL'))).toEqual([])
  expect(lines.join('\n')).toContain('ok    reset brings back the state at power-on')
  expect(lines.join('\n')).toContain('ok    another program, or session, goes on with a saved state')
})

test.skipIf(!hasVerilator)(
  `two runs with a design agree to the cycle, and one is replayed without it${note}`,
  { timeout: DEADLINE_MS },
  async () => {
    const first = await record('first')
    const [, count = '', word] = /^(.{8})(.{8})$/.exec(first.stdout) ?? []
    expect(word, first.stderr).toBe(letters(0x0012_3456))
    // A machine looks after its timers about every 10 µs of a guest that does not halt.
    expect(count >= letters(CYCLES) && count < letters(CYCLES + 1500), count).toBe(true)
    const second = await record('second')
    expect(second.instructions).toBeDefined()
    expect([second.stdout, second.instructions]).toEqual([first.stdout, first.instructions])
    renameSync(program, `${program}-away`)
    const replayed = await runRetrap(['replay', join(scratch, 'first')], { deadlineMs: DEADLINE_MS })
    expect([replayed.stdout, replayed.code], replayed.stderr).toEqual([first.stdout, 0])
    renameSync(`${program}-away`, program)
  },
)

test.skipIf(!hasVerilator)(
  `a recorded run goes on from a snapshot of a machine with a design, and is replayed without either${note}`,
  { timeout: DEADLINE_MS },
  async () => {
    const [snapshot, recording] = [join(scratch, 'snapshot'), join(scratch, 'on')]
    const begun = await runRetrap(
      ['run', '--deterministic', '--kernel', asking, ...device, '--save-on-exit', snapshot],
      { answers: [{ to: '?', type: '\u0001x' }], deadlineMs: DEADLINE_MS },
    )
    expect([begun.stdout, begun.code], begun.stderr).toEqual([expect.stringMatching(/^[A-P]{8}\?/), 0])
    const on = await runRetrap(['restore', snapshot, '--record', recording], { input: '!', deadlineMs: DEADLINE_MS })
    const [, count = '', word] = /^(.{8})(.{8})$/.exec(on.stdout) ?? []
    expect([word, on.code], on.stderr).toEqual([letters(0x0012_3456), 0])
    // The design's cycles go on from there.
    expect(count > begun.stdout.slice(0, 8)).toBe(true)
    rmSync(snapshot)
    renameSync(program, `${program}-away`)
    const replayed = await runRetrap(['replay', recording], { deadlineMs: DEADLINE_MS })
    expect([replayed.stdout, replayed.code], replayed.stderr).toEqual([on.stdout, 0])
    renameSync(`${program}-away`, program)
  },
)
