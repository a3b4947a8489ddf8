// The options --trace, --trace-to, --display and --screenshot-on-exit with an Arm board.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test } from 'vitest'
import { runHere } from './support/in-process.ts'

const GCC = 'aarch64-linux-gnu-gcc'
const isHere = hasProgram(GCC)
const DEADLINE_MS = 300_000

/** Writes to the PL011, executes what is no instruction, whose handler skips it, and asks for power-off. */
const SOURCE = `
.globl _start
_start:
  adr x0, vectors
  msr vbar_el1, x0
  movz x1, #0x0900, lsl #16
  mov w2, #'h'
  str w2, [x1]
  udf #0
  movz x0, #0x8400, lsl #16
  movk x0, #8
  hvc #0
.balign 2048
vectors:
  .space 0x200
  mrs x3, elr_el1
  add x3, x3, #4
  msr elr_el1, x3
  eret
`

describe.skipIf(!isHere)(
  `an Arm board's options${skipNote(isHere, `${GCC} not installed`)}`,
  { timeout: DEADLINE_MS },
  () => {
    const folder = temporaryFolder('arm-trace')
    const file = (name: string): string => join(folder, name)

    beforeAll(() => {
      writeFileSync(file('guest.s'), SOURCE)
      const flags = ['-nostdlib', '-static', '-Wl,-Ttext=0x40080000', '-Wl,--build-id=none']
      const { status, stderr } = spawnSync(GCC, [...flags, '-o', file('guest.elf'), file('guest.s')])
      if (status !== 0) throw new Error(stderr.toString())
    })

    const run = async (options: readonly string[]): Promise<void> => {
      const place = ['run', '--arch', 'arm64', '--kernel', file('guest.elf'), '--memory', '64M', '--timeout', '200']
      const { code, stdout, stderr } = await runHere([...place, ...options], { deadlineMs: DEADLINE_MS })
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'h', stderr: '' })
    }

    test('--trace-to has instructions, device accesses and exceptions, in order', async () => {
      await run(['--trace', 'insn', '--trace', 'ioreq', '--trace', 'exceptions', '--trace-to', file('trace.txt')])
      const lines = readFileSync(file('trace.txt'), 'utf8').trimEnd().split('\n')
      expect(lines.map((line) => line.replace(/^\[\d+\.\d+ #(\d+)\] vcpu 0/, '$1'))).toEqual([
        '0 insn 40080000: adr x0, 0x40080800',
        '1 insn 40080004: msr vbar_el1, x0',
        '2 insn 40080008: mov x1, #150994944',
        '3 insn 4008000c: mov w2, #104',
        '4 insn 40080010: str w2, [x1]',
        '4 ioreq pl011-9000000 done: mmio write of 4 bytes at 0x9000000 ← 0x68',
        '5 insn 40080014: udf #0',
        expect.stringMatching(/^5 exceptions? .*40080014/),
        '5 insn 40080a00: mrs x3, elr_el1',
        '6 insn 40080a04: add x3, x3, #4',
        '7 insn 40080a08: msr elr_el1, x3',
        '8 insn 40080a0c: eret',
        '9 insn 40080018: mov x0, #2214592512',
        '10 insn 4008001c: movk x0, #8',
        '11 insn 40080020: hvc #0x0',
      ])
    })

    test('a trace on the guest’s time names code by the symbols of the kernel', async () => {
      await run(['--trace', 'insn', '--trace-to', file('trace.vcd')])
      const lines = readFileSync(file('trace.vcd'), 'utf8').split('\n')
      const [, id] = lines.map((line) => /^\$var string 1 (\S+) code /.exec(line)).find((found) => found !== null) ?? []
      const names = lines.filter((line) => line.startsWith('s') && line.endsWith(` ${id}`))
      expect(names.map((line) => line.slice(1, -2))).toEqual(['-', '_start', 'vectors', '_start'])
    })

    test('a trace for viewers, and pictures of a card that nothing has drawn on', async () => {
      const pictures = ['--display', `png:${file('now.png')}`, '--screenshot-on-exit', file('last.png')]
      await run(['--trace', 'insn,limit=3', '--trace-to', file('trace.json'), '--vga', 'std', ...pictures])
      const events = JSON.parse(readFileSync(file('trace.json'), 'utf8')) as { name: string; cat?: string }[]
      expect(events.filter(({ cat }) => cat === 'insn').map(({ name }) => name)).toEqual([
        'adr x0, 0x40080800',
        'msr vbar_el1, x0',
        'mov x1, #150994944',
      ])
      for (const name of ['now.png', 'last.png'])
        expect(readFileSync(file(name)).subarray(1, 4).toString('latin1')).toBe('PNG')
    })
  },
)
