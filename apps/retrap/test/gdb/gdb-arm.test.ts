// gdb of Debian debugs one guest on our Arm machine and on QEMU's, by one script: what it prints is compared.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect } from 'vitest'
import { retrapCommand } from '../support/processes.ts'
import { DEADLINE_MS, type DebuggedMachine, debugScripted } from './scripted-gdb.ts'

const test = sliceTests(4)
const GDB = 'gdb-multiarch'
const QEMU = 'qemu-system-aarch64'
const GCC = 'aarch64-linux-gnu-gcc'
const missing = [GDB, QEMU, GCC].filter((name) => !hasProgram(name))

describe.skipIf(missing.length > 0)(
  `gdb on arm64${skipNote(missing.length === 0, `${missing.join(' and ')} not installed`)}`,
  { timeout: 2 * DEADLINE_MS },
  () => {
    const folder = temporaryFolder('gdb-arm')
    const guest = join(folder, 'guest.elf')
    const gdb = { gdb: GDB, before: [`file ${guest}`] }

    beforeAll(() => {
      const flags = ['-nostdlib', '-static', '-Wl,-Ttext=0x40080000', '-Wl,--build-id=none', '-o', guest]
      const source = join(import.meta.dirname, 'arm-guest.s')
      const { status, stderr } = spawnSync(GCC, [...flags, source])
      if (status !== 0) throw new Error(stderr.toString())
    })

    const ours: DebuggedMachine = (port) => {
      const place = ['--kernel', guest, '--memory', '64M', '--gdb', `tcp:${port},wait`, '--timeout', '60']
      return [process.execPath, retrapCommand(['run', '--arch', 'arm64', ...place])]
    }
    const qemu: DebuggedMachine = (port) => {
      const fixed = ['-M', 'virt', '-m', '64', '-cpu', 'max', '-accel', 'tcg', '-kernel', guest, '-display', 'none']
      const none = ['-net', 'none', '-serial', 'none', '-monitor', 'none', '-no-reboot']
      return [QEMU, [...fixed, ...none, '-S', '-gdb', `tcp:127.0.0.1:${port}`]]
    }
    const both = async (commands: readonly string[]): Promise<string> => {
      const [mine] = await debugScripted(gdb, ours, commands, folder)
      const [theirs] = await debugScripted(gdb, qemu, commands, folder)
      expect(mine).toBe(theirs)
      return mine
    }

    test('breakpoints, steps, registers and memory are those of QEMU', async () => {
      console.log(spawnSync(GDB, ['--version']).stdout.toString().split('\n', 1)[0])
      const names = 'x0 x1 x2 x9 x19 x20 x21 x30 sp pc cpsr fpsr fpcr'
      const text = await both([
        'break function',
        'continue',
        ...names.split(' ').map((name) => `p/x $${name}`),
        'p $v0.d.f',
        'p $v1.s.u',
        'p/x $v2.q.u',
        'stepi',
        'stepi',
        'p/x $pc',
        'x/4i $pc',
        'continue',
        'p $x19',
        'ignore 1 20',
        'continue',
        'p $x19',
        'set var $x20 = 0x1122334455667788',
        'set var $v0.d.u[1] = 5',
        'p $v0.d.u',
        'set {long}(&data + 8) = 0x1234',
        'stepi',
        'stepi',
        'stepi',
        'stepi',
        'p/x $x20',
        'x/2gx &data',
        'backtrace 1',
        'delete',
        'hbreak end',
        'continue',
        'p/x $pc',
      ])
      expect(text).toContain('= 0x1122334455667789\n')
      expect(text.match(/Breakpoint 1, /g)?.length).toBe(3)
    })

    test('a step over SVC and over a fault ends at the vector, a step over ERET behind it', async () => {
      const text = await both([
        'break call',
        'continue',
        'stepi',
        'p/x $pc - (long)&vectors',
        'p/x $ESR_EL1',
        ...Array.from({ length: 5 }, () => 'stepi'),
        'stepi',
        'p/x $pc - (long)&vectors',
        'p/x $ELR_EL1 - (long)&undefined',
      ])
      expect(text).toContain('= 0x200\n')
    })

    test('watchpoints stop where those of QEMU do', async () => {
      const text = await both([
        'break function',
        'continue',
        'delete',
        'watch *(long *)&data',
        'continue',
        'p/x $pc',
        'continue',
        'p/x $pc',
        'delete',
        'rwatch *(int *)((char *)&data + 64)',
        'continue',
        'p/x $pc',
        'delete',
        // Its second page is accessed, by a store that begins in the first.
        'awatch *((char *)&crossed + 6)',
        'continue',
        'p/x $pc',
      ])
      expect(text.match(/New value = /g)?.length).toBe(2)
    })

    test('physical memory, and addresses that are none', async () => {
      const text = await both([
        'break function',
        'continue',
        'maintenance packet Qqemu.PhyMemMode:1',
        'x/2gx &table',
        'maintenance packet Qqemu.PhyMemMode:0',
        'python\ntry:\n  gdb.execute("x/1gx 0x7f00000000")\nexcept gdb.error as e:\n  print(e)\nend',
        'python\ntry:\n  gdb.execute("x/1gx 0xffff800012341234")\nexcept gdb.error as e:\n  print(e)\nend',
      ])
      expect(text).toContain('Cannot access memory at address 0x7f00000000\n')
    })

    test('what QEMU has not: caught exceptions, walks', async () => {
      const commands = [
        'break call',
        'monitor catch undefined',
        'continue',
        'continue',
        'p $pc == (long)&undefined',
        // The exception is taken with its signal.
        'stepi',
        'p/x $pc - (long)&vectors',
        'info threads',
        'monitor walk 0x40080000',
        'monitor interrupts',
        'kill',
      ]
      const [text, told] = await debugScripted(gdb, ours, commands, folder)
      expect(text).toContain('Program received signal SIGILL')
      expect(text).toContain('$1 = 1\n')
      expect(text).toContain('$2 = 0x200\n')
      expect(text).toContain('(CPU 0, executes)')
      expect(told).toMatch(/level 1, 0x[\da-f]+: 0x40000705 AF block\n0x40080000 is guest-physical 0x40080000\n/)
      expect(told).toContain('CPU 0: IRQ and FIQ masked, no interrupt waits')
    })
  },
)
