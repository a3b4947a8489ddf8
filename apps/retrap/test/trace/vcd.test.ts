/** Traces as Value Change Dumps: of a recorded run and its replay, and of runs that are ended. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { al, Assembler, dx, eax, ecx, imm16, imm32 } from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runHere } from '../support/in-process.ts'

const folder = temporaryFolder('vcd')
const path = (name: string): string => join(folder, name)
const DEADLINE_MS = 60_000
const DOTS = 40

/** A kernel that prints points, 10,000 instructions apart. @param isEndless - it goes on */
function dots(isEndless: boolean): string {
  const base = 0x10_0000
  const asm = new Assembler({ bits: 32, address: base })
  const [entry, round, wait] = [asm.label('entry'), asm.label('round'), asm.label('wait')]
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), base, base, 0, 0, entry)
  asm.bind(entry).mov(ecx, imm32(DOTS))
  asm.bind(round).mov(dx, imm16(0x3fd)).in(al, dx).mov(dx, imm16(0x3f8)).mov(al, 0x2e).out(dx, al)
  asm.mov(eax, imm32(5000)).bind(wait).dec(eax).jnz(wait)
  if (!isEndless) asm.dec(ecx)
  asm.jnz(round)
  if (isEndless) asm.jmp(round)
  asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
  const name = path(isEndless ? 'endless' : 'dots')
  writeFileSync(name, asm.assemble().bytes)
  return name
}

const run = (kernel: string, ...more: readonly string[]): string[] => ['run', '--kernel', kernel, ...more]
const traced = (file: string, limit = 200): string[] => [
  '--trace',
  `ioreq,limit=${limit}`,
  '--trace',
  'irq',
  '--trace',
  'exceptions',
  '--trace-to',
  path(file),
]
const linesOf = (file: string): string[] => readFileSync(path(file), 'utf8').split('\n')

test('a replay’s file is that of the recorded run, without the JIT too', { timeout: 3 * DEADLINE_MS }, async () => {
  const record = run(dots(false), '--jit', 'on', '--record', path('run'), ...traced('a.vcd'))
  const first = await runHere(record, { deadlineMs: DEADLINE_MS })
  const replay = ['replay', path('run'), '--jit', 'off', ...traced('b.vcd')]
  const again = await runHere(replay, { deadlineMs: DEADLINE_MS })
  expect([first.code, again.code]).toEqual([0, 0])
  expect(linesOf('b.vcd')).toEqual(linesOf('a.vcd'))
  expect(first.stdout).toBe('.'.repeat(DOTS))
  // A time of the file leads to the turn of its vCPU, which has up to 10,000 instructions.
  const at = linesOf('a.vcd').findLastIndex((line) => /^b[01]+ !$/.test(line))
  const [time = '', count = ''] = linesOf('a.vcd').slice(at - 1, at + 1)
  const there = await runHere(['replay', path('run'), '--goto', `${time.slice(1)}ns`], { deadlineMs: DEADLINE_MS })
  const instruction = Number(/at instruction (\d+)\n/.exec(there.stderr)?.[1])
  const left = parseInt(count.slice(1), 2) - instruction
  expect([left >= 0, left < 10_100]).toEqual([true, true])
  expect(linesOf('a.vcd').length).toBeGreaterThan(10 * DOTS)
})

test.each([
  { end: '--timeout', args: ['--timeout', '1'], answers: [], code: 124 },
  { end: 'Ctrl-A x', args: [], answers: [{ to: '...', type: '\u0001x' }], code: 0 },
])('a file is whole where $end ends the run', { timeout: DEADLINE_MS }, async ({ args, answers, code }) => {
  const given = run(dots(true), ...args, ...traced('c.vcd'))
  expect((await runHere(given, { answers, deadlineMs: DEADLINE_MS })).code).toBe(code)
  const lines = linesOf('c.vcd')
  expect(lines.slice(-1)).toEqual([''])
  expect(lines.at(-2)).toMatch(/^#\d+$/)
  const changes = lines.slice(lines.indexOf('$enddefinitions $end') + 1, -1)
  expect(changes.filter((line) => !/^(#\d+|\$dumpvars|\$end|([01x]|b[01x]+ |s\S+ )[!-~]+)$/.test(line))).toEqual([])
  expect(changes.length).toBeGreaterThan(20)
})
