// gdb of Debian goes backwards: through a recording, and in a machine that is recorded just now, and on again.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeAll, describe, expect } from 'vitest'
import { retrapCommand } from '../support/processes.ts'
import { debuggedGuest } from './guest.ts'
import { DEADLINE_MS, debugScripted } from './scripted-gdb.ts'

const test = sliceTests(2)
const hasGdb = hasProgram('gdb')
const GDB = { gdb: 'gdb', before: ['set architecture i386:x86-64'] }

describe.skipIf(!hasGdb)(`gdb${skipNote(hasGdb, 'gdb not installed')}`, { timeout: 2 * DEADLINE_MS }, () => {
  const folder = temporaryFolder('gdb-replay')
  const [recording, image] = [join(folder, 'run.rec'), join(folder, 'guest.bin')]
  const RUN = ['run', '--firmware', image, '--memory', '4M', '--no-reboot', '--record']
  const { bytes, at } = debuggedGuest(false)
  const data = `*(long *) ${at('data')}`

  beforeAll(() => {
    writeFileSync(image, bytes)
    const args = retrapCommand([...RUN, recording, '--timeout', '60'])
    const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', input: '' })
    expect(stderr).toContain('recorded')
  })

  const machine = (port: number): readonly [string, readonly string[]] => [
    process.execPath,
    retrapCommand(['replay', recording, '--', '--gdb', `tcp:${port},wait`]),
  ]
  const debug = async (commands: readonly string[], debugged = machine): Promise<string[]> => {
    const [output] = await debugScripted(GDB, debugged, commands, folder)
    return output.split('\n').filter((line) => line.trim() !== '')
  }

  const live = join(folder, 'live.rec')
  /** A machine that is recorded just now. */
  const recorded = (port: number): readonly [string, readonly string[]] => [
    process.execPath,
    retrapCommand([...RUN, live, '--gdb', `tcp:${port}`, '--timeout', '60']),
  ]

  test.each([
    ['in a recording', machine],
    ['in a machine that is recorded just now', recorded],
  ])('a counter goes down, back up and down again, and so do steps and breakpoints: %s', async (_, debugged) => {
    const lines = await debug(
      [
        `hbreak *${at('function')}`,
        'continue',
        'continue',
        'delete',
        `watch ${data}`,
        'continue',
        'continue',
        'reverse-continue',
        'reverse-continue',
        'print/x $pc',
        'reverse-stepi',
        'print/x $pc',
        'stepi',
        'print/x $pc',
        `hbreak *${at('function')}`,
        'reverse-continue',
        'print $rcx',
        'delete 3',
        'reverse-continue',
        `print ${data}`,
        'continue',
        'continue',
        'continue',
        `print ${data}`,
        'continue',
        `print ${data}`,
        'delete',
        'continue',
      ],
      debugged,
    )
    expect(lines).toMatchInlineSnapshot(`
      [
        "Hardware assisted breakpoint 1 at 0x20000",
        "Breakpoint 1, 0x0000000000020000 in ?? ()",
        "Breakpoint 1, 0x0000000000020000 in ?? ()",
        "Hardware watchpoint 2: *(long *) 196608",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 100",
        "New value = 99",
        "0x0000000000020008 in ?? ()",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 99",
        "New value = 98",
        "0x0000000000020008 in ?? ()",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 98",
        "New value = 99",
        "0x0000000000020000 in ?? ()",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 99",
        "New value = 100",
        "0x0000000000020000 in ?? ()",
        "$1 = 0x20000",
        "0x00000000000f01b5 in ?? ()",
        "$2 = 0xf01b5",
        "0x0000000000020000 in ?? ()",
        "$3 = 0x20000",
        "Hardware assisted breakpoint 3 at 0x20000",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 100",
        "New value = 0",
        "Breakpoint 3, 0x0000000000020000 in ?? ()",
        "$4 = 100",
        "No more reverse-execution history.",
        "0x000000000000fff0 in ?? ()",
        "$5 = 0",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 0",
        "New value = 100",
        "0x0000000000020008 in ?? ()",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 100",
        "New value = 99",
        "0x0000000000020008 in ?? ()",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 99",
        "New value = 98",
        "0x0000000000020008 in ?? ()",
        "$6 = 98",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 98",
        "New value = 97",
        "0x0000000000020008 in ?? ()",
        "$7 = 97",
        "No more reverse-execution history.",
        "0x00000000000f01dc in ?? ()",
      ]
    `)
    if (debugged === machine) return
    const replay = spawnSync(process.execPath, retrapCommand(['replay', live]), { encoding: 'utf8', input: '' })
    // The last thing that gdb saw is what ends the replay, as it ends a run without gdb.
    expect(replay).toMatchObject({ status: 86, stderr: expect.stringMatching(/triple fault on[^]*RIP {4}0{11}f01dc/) })
  })

  test('a recording ends on both sides', async () => {
    const lines = await debug([
      'continue',
      `print ${data}`,
      'reverse-continue',
      'print/x $pc',
      'reverse-stepi',
      'stepi',
    ])
    expect(lines).toMatchInlineSnapshot(`
      [
        "No more reverse-execution history.",
        "0x00000000000f01dc in ?? ()",
        "$1 = 1",
        "No more reverse-execution history.",
        "0x000000000000fff0 in ?? ()",
        "$2 = 0xfff0",
        "No more reverse-execution history.",
        "0x000000000000fff0 in ?? ()",
        "0x0000000000000000 in ?? ()",
      ]
    `)
  })

  test('monitor goes to places, and says who wrote a byte', async () => {
    const commands = [
      'monitor when',
      'monitor goto end',
      `monitor who-wrote ${at('data')} 8`,
      `monitor who-wrote ${at('data')}@p 8`,
      `monitor who-wrote ${at('data') + 0x800}`,
      'monitor who-wrote 0xfffffffff0000000',
      'monitor who-wrote',
      'monitor goto 3',
      'maintenance flush register-cache',
      'monitor goto 500ns',
      'monitor goto nowhere',
      'monitor marks',
      'stepi',
      'monitor when',
    ]
    const [, errors] = await debugScripted(GDB, machine, commands, folder)
    const lines = errors.split('\n').filter((line) => line !== '' && !/^warning|^determining/.test(line))
    expect(lines).toMatchInlineSnapshot(`
      [
        "instruction 0 of 981, at 0 ns",
        "instruction 981 of 981, at 1136 ns",
        "gdb shows it after: maintenance flush register-cache",
        "the instruction at 0x20000 of CPU 0: monitor goto 966",
        "the instruction at 0x20000 of CPU 0: monitor goto 966",
        "nobody since power-on",
        "0xfffffffff0000000: there is no memory at this linear address",
        "write who-wrote and an address, ADDRESS@p or a name that is known, and perhaps how many bytes",
        "instruction 3 of 981, at 3 ns",
        "gdb shows it after: maintenance flush register-cache",
        "instruction 0 of 981, at 0 ns",
        "gdb shows it after: maintenance flush register-cache",
        "nowhere: write an instruction from 0 to 981, a time such as 1500ns, a mark, begin or end",
        "There is no mark.",
        "instruction 1 of 981, at 1 ns",
      ]
    `)
  })

  test('MSRs and exceptions stop it in both directions', async () => {
    const commands = [
      'monitor break msr 0xc0000080 write',
      'monitor break exception #UD',
      'continue',
      'continue',
      'print/x $pc',
      'continue',
      'reverse-continue',
      'print/x $pc',
      'reverse-continue',
      'reverse-continue',
      'monitor delete all',
      'monitor catch #UD',
      'continue',
      'reverse-continue',
    ]
    const [output, errors] = await debugScripted(GDB, machine, commands, folder)
    const lines = `${output}${errors}`.split('\n').filter((line) => line !== '' && !/^warning|^determining/.test(line))
    expect(lines).toMatchInlineSnapshot(`
      [
        "Program received signal SIGTRAP, Trace/breakpoint trap.",
        "0x00000000000f0097 in ?? ()",
        "Program received signal SIGTRAP, Trace/breakpoint trap.",
        "0x00000000000f01e1 in ?? ()",
        "$1 = 0xf01e1",
        "No more reverse-execution history.",
        "0x00000000000f01dc in ?? ()",
        "Program received signal SIGTRAP, Trace/breakpoint trap.",
        "0x00000000000f01bc in ?? ()",
        "$2 = 0xf01bc",
        "Program received signal SIGTRAP, Trace/breakpoint trap.",
        "0x00000000000f0095 in ?? ()",
        "No more reverse-execution history.",
        "0x000000000000fff0 in ?? ()",
        "Program received signal SIGILL, Illegal instruction.",
        "0x00000000000f01bc in ?? ()",
        "No more reverse-execution history.",
        "0x000000000000fff0 in ?? ()",
        "1: MSR 0xc0000080, write",
        "2: handler of #UD",
        "MSR 0xc0000080: written, 0x100",
        "the handler of #UD is next, error code 0x0",
        "the handler of #UD is next, error code 0x0",
        "MSR 0xc0000080: written, 0x100",
        "There is no such stop.",
        "Caught: #UD",
      ]
    `)
  })

  test('what has happened cannot be changed', async () => {
    await expect(debug([`set var ${data} = 1`])).rejects.toThrow('Cannot access memory at address')
    await expect(debug(['set var $rax = 1'])).rejects.toThrow('Could not write register')
  })
})
