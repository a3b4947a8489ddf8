// gdb of Debian debugs one guest on our machine and on QEMU's, by one script: what it prints is compared.
import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect, test as always } from 'vitest'
import { retrapCommand } from '../support/processes.ts'
import { debuggedGuest } from './guest.ts'
import { DEADLINE_MS, type DebuggedMachine, debugScripted } from './scripted-gdb.ts'

const test = sliceTests(3)
const QEMU = 'qemu-system-x86_64'
const missing = ['gdb', QEMU].filter((name) => !hasProgram(name))
const GDB = { gdb: 'gdb', before: ['set architecture i386:x86-64'] }
const debug = (machine: DebuggedMachine, commands: readonly string[], folder: string) =>
  debugScripted(GDB, machine, commands, folder)

always('a client may come before the machine is there; a second one is sent away, and another may follow', async () => {
  const child = spawn(process.execPath, retrapCommand(['--gdb', 'tcp:0,wait', '--timeout', '30']), { stdio: 'pipe' })
  child.stdin.end()
  let said = ''
  const port = await new Promise<number>((resolve) => {
    child.stderr.on('data', (bytes: Buffer) => {
      said += bytes.toString()
      const found = /the machine waits for gdb: gdb -ex 'target remote 127\.0\.0\.1:(\d+)'\n/.exec(said)
      if (found !== null) resolve(Number(found[1]))
    })
  })
  const connected = (): { socket: Socket; until: (text: string) => Promise<void>; over: Promise<unknown> } => {
    const socket = connect(port, '127.0.0.1')
    let output = ''
    const { promise: over, resolve } = Promise.withResolvers<void>()
    socket.on('close', () => resolve())
    socket.on('error', () => {})
    const until = async (text: string): Promise<void> => {
      while (!output.includes(text)) {
        const [bytes] = (await once(socket, 'data')) as [Buffer]
        output += bytes.toString()
      }
    }
    return { socket, until, over }
  }
  const first = connected()
  first.socket.write('$qC#b4')
  await first.until('$QC01#f5')
  await connected().over
  first.socket.destroy()
  // It runs since, until another one stops it.
  for (let i = 0; i < 50; i++) {
    const next = connected()
    next.socket.write('$qC#b4')
    // The client that is sent away may see a reset of the connection instead of its end.
    const answer = next.until('$QC01#f5').then(
      () => true,
      () => false,
    )
    const answered = await Promise.race([answer, next.over.then(() => false)])
    if (!answered) continue
    next.socket.write('$k#6b')
    expect(await once(child, 'close')).toEqual([0, null])
    return
  }
  throw new Error('no other client was let in')
})

describe.skipIf(missing.length > 0)(
  `gdb${skipNote(missing.length === 0, `${missing.join(' and ')} not installed`)}`,
  { timeout: 2 * DEADLINE_MS },
  () => {
    const folder = temporaryFolder('gdb')
    const image = join(folder, 'guest.bin')
    const { bytes, at } = debuggedGuest()
    const place = (label: string): string => `0x${at(label).toString(16)}`

    beforeAll(() => writeFileSync(image, bytes))

    const ours: DebuggedMachine = (port) => [
      process.execPath,
      retrapCommand(['run', '--firmware', image, '--memory', '4M', '--gdb', `tcp:${port},wait`, '--timeout', '60']),
    ]
    const fixed = ['-M', 'pc', '-m', '4', '-cpu', 'max', '-accel', 'tcg', '-bios', image, '-display', 'none']
    const none = ['-net', 'none', '-serial', 'none', '-monitor', 'none', '-no-reboot']
    const qemu: DebuggedMachine = (port) => [QEMU, [...fixed, ...none, '-S', '-gdb', `tcp:127.0.0.1:${port}`]]
    const both = async (commands: readonly string[]): Promise<string> => {
      const [[mine], [theirs]] = [await debug(ours, commands, folder), await debug(qemu, commands, folder)]
      expect(mine).toBe(theirs)
      return mine
    }

    always('both have versions', () => {
      const first = (program: string): string => spawnSync(program, ['--version']).stdout.toString().split('\n', 1)[0]!
      console.log(`${first('gdb')}; ${first(QEMU)}`)
      expect(first('gdb')).toMatch(/^GNU gdb .* \d+/)
    })

    test('breakpoints, steps, registers and memory are those of QEMU', async () => {
      const registers =
        'rax rbx rcx rdx rsi rdi rbp rsp r8 r15 rip eflags cs ss ds cr0 cr3 cr4 efer fs_base gs_base mxcsr fctrl'
      const show = registers.split(' ').map((name) => `p/x $${name}`)
      const text = await both([
        // Long mode, after the guest has written the code there itself.
        `break *${place('function')}`,
        'continue',
        ...show,
        'p $xmm0.v4_int32',
        'p $xmm1.v2_double',
        'stepi',
        'stepi',
        'p/x $rip',
        'x/4i $rip',
        'continue',
        'p $rcx',
        'ignore 1 20',
        'continue',
        'p $rcx',
        'set var $rbx = 0x1122334455667788',
        `set {long}(${place('data')} + 8) = 0x1234`,
        'stepi',
        'stepi',
        'stepi',
        'p/x $rbx',
        `x/4gx ${place('data')}`,
        'delete',
        `hbreak *${place('end')}`,
        'continue',
        'p/x $rip',
      ])
      expect(text).toContain('= 0x1122334455667789\n')
      expect(text.match(/Breakpoint 1, /g)?.length).toBe(3)
    })

    test('watchpoints stop where those of QEMU do', async () => {
      const text = await both([
        `break *${place('function')}`,
        'continue',
        'delete',
        `watch *(long *)${place('data')}`,
        'continue',
        'p/x $rip',
        'continue',
        'p/x $rip',
        'delete',
        `rwatch *(int *)${place('read')}`,
        'continue',
        'p/x $rip',
        'delete',
        `awatch *(char *)${place('crossed')}`,
        'continue',
        'p/x $rip',
      ])
      expect(text.match(/New value = /g)?.length).toBe(2)
    })

    test('code in a page with a breakpoint may be written anew', async () => {
      await both([
        // The page is still empty.
        `hbreak *${place('function')}`,
        'continue',
        'p/x $rip',
        `x/2i ${place('function')}`,
        'continue',
        'p $rcx',
      ])
    })

    test('physical memory, and addresses that are none', async () => {
      const text = await both([
        `break *${place('function')}`,
        'continue',
        'maintenance packet Qqemu.PhyMemMode:1',
        `x/2gx ${place('data')}`,
        'maintenance packet qqemu.PhyMemMode',
        'maintenance packet Qqemu.PhyMemMode:0',
        'python\ntry:\n  gdb.execute("x/1gx 0x7fff00000000")\nexcept gdb.error as e:\n  print(e)\nend',
        'python\ntry:\n  gdb.execute("x/1gx 0x1234123412341234")\nexcept gdb.error as e:\n  print(e)\nend',
      ])
      expect(text).toContain('Cannot access memory at address 0x7fff00000000\n')
    })

    test('a guest that spins is interrupted', async () => {
      const text = await both([
        `break *${place('end')}`,
        'continue',
        'delete',
        // gdb waits in the background meanwhile.
        'python\nimport threading, os, signal\nthreading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\nend',
        'continue',
        `p $rip >= ${place('end')} && $rip < ${place('end')} + 16`,
      ])
      expect(text).toContain('Program received signal SIGINT, Interrupt.\n')
      expect(text).toMatch(/ = 1\n$/)
    })

    test('what QEMU has not: caught faults, real mode by linear address, MOV SS as the trap flag has it, the x87 stack', async () => {
      const [text, told] = await debug(
        ours,
        [
          'p/x $cs_base + $rip',
          `break *${place('real')}`,
          'continue',
          'p/x $cs_base + $rip',
          'delete',
          `break *${place('end')}`,
          'monitor catch #UD',
          'continue',
          `p $rip == ${place('undefined')}`,
          // With the signal the fault is delivered.
          'stepi',
          `p $rip == ${place('handler')}`,
          'delete',
          'monitor uncatch #UD',
          `break *${place('shadow')}`,
          'continue',
          'stepi',
          `p $rip == ${place('afterShadow')}`,
          'info threads',
          `monitor walk ${place('data')}`,
          'monitor walk 0x7fff00000000',
          // QEMU 7.2 has the registers of the stack by their physical numbers.
          'p $st0',
          'p $st1',
          'kill',
        ],
        folder,
      )
      expect(text).toContain('$1 = 0xfffffff0\n')
      expect(text).toMatch(/signal SIGTRAP[^$]*\$2 = 0x[\da-f]+\n/)
      expect(text).toContain(`$2 = ${place('real')}\n`)
      expect(text).toContain('Program received signal SIGILL')
      expect(text).toContain('$3 = 1\n')
      expect(text).toContain('$4 = 1\n')
      expect(text).toContain('$5 = 1\n')
      expect(text).toContain('(CPU 0, executes)')
      expect(told).toContain(
        [
          'level 4, PML4E 0, 0x10000: 0x11023 P R/W A, table',
          'level 3, PDPTE 0, 0x11000: 0x12023 P R/W A, table',
          'level 2, PDE 0, 0x12000: 0xe3 P R/W A D PS, page',
          'paging-structure cache: a walk begins at level 2',
          '  PDPTE: table of level 2 at 0x12000 R/W, as in memory',
          '  PML4E: table of level 3 at 0x11000 R/W, as in memory',
          '0x30000 is guest-physical 0x30000\n',
        ].join('\n'),
      )
      expect(told).toContain('0x7fff00000000 is not mapped')
      expect(text).toContain('$6 = 3.14159265358979323851\n$7 = 1\n')
    })
  },
)
