// gdb of Debian goes back in a machine that is recorded just now, and on again.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { retrapCommand } from '../support/processes.ts'
import { debuggedGuest } from './guest.ts'
import { DEADLINE_MS, debugScripted } from './scripted-gdb.ts'

const hasGdb = hasProgram('gdb')
const GDB = { gdb: 'gdb', before: ['set architecture i386:x86-64'] }

describe.skipIf(!hasGdb)(`gdb${skipNote(hasGdb, 'gdb not installed')}`, { timeout: 3 * DEADLINE_MS }, () => {
  const folder = temporaryFolder('gdb-record')
  const recording = join(folder, 'run.rec')
  const { bytes, at } = debuggedGuest(false)
  const data = `*(long *) ${at('data')}`

  test('a counter goes down, back up and down again, and the recording is one run', async () => {
    const image = join(folder, 'guest.bin')
    writeFileSync(image, bytes)
    const guest = ['run', '--firmware', image, '--memory', '4M', '--no-reboot', '--record', recording]
    const machine = (port: number): readonly [string, readonly string[]] => [
      process.execPath,
      retrapCommand([...guest, '--gdb', `tcp:${port}`, '--timeout', '60']),
    ]
    const [output] = await debugScripted(
      GDB,
      machine,
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
      folder,
    )
    expect(output.split('\n').filter((line) => line.trim() !== '')).toMatchInlineSnapshot(`
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
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 100",
        "New value = 0",
        "0x0000000000020000 in ?? ()",
        "$1 = 0",
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
        "$2 = 98",
        "Hardware watchpoint 2: *(long *) 196608",
        "Old value = 98",
        "New value = 97",
        "0x0000000000020008 in ?? ()",
        "$3 = 97",
        "No more reverse-execution history.",
        "0x00000000000f01dc in ?? ()",
      ]
    `)
    const replay = spawnSync(process.execPath, retrapCommand(['replay', recording]), { encoding: 'utf8', input: '' })
    // The last thing that gdb saw is what ends the replay, as it ends a run without gdb.
    expect(replay).toMatchObject({ status: 86, stderr: expect.stringMatching(/triple fault on[^]*RIP {4}0{11}f01dc/) })
  })
})
