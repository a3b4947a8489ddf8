import { readFileSync } from 'node:fs'
import { createPc } from '@retrap/machine'
import { skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { type Answer, converse } from '../support/answers.ts'
import { debianKernel, linuxWith } from '../support/disk-linux.ts'
import { TEST_JIT } from '../support/processes.ts'

const DEADLINE_MS = 240_000

/** The first process: tells what input devices there are, then what is typed on the first console, and what the mouse does. */
const INIT = `${FIRST_PROCESS}/drivers
while ! grep -q Mouse /proc/bus/input/devices; do sleep 0.1; done
cat /proc/bus/input/devices
dmesg | grep -i -E 'i8042|atkbd|psmouse|serio'
exec 3</dev/tty1 4</dev/input/mice
echo TYPE
read -r line <&3
echo "typed: $line"
echo MOVE
for i in 1 2 3 4; do dd bs=3 count=1 <&4 2>/dev/null | od -An -tx1; done
echo DONE
poweroff -f
`

const DRIVERS = ['i8042', 'atkbd', 'psmouse', 'mousedev', 'evdev'] as const

const linux = await linuxWith(DRIVERS, INIT, debianKernel(['drivers/input/*']))

describe.runIf(linux !== undefined)(`keyboard and mouse${skipNote(linux !== undefined, 'cannot fetch it')}`, () => {
  test('Linux finds both, reads what is typed, and follows the mouse', { timeout: DEADLINE_MS }, async () => {
    const pc = await createPc({
      memoryBytes: 256 << 20,
      kernel: new Uint8Array(readFileSync(linux!.kernelPath)),
      initrd: linux!.initrd,
      commandLine: 'console=ttyS0 cryptomgr.notests rdinit=/auto',
      jit: TEST_JIT,
    })
    const answers: readonly Answer[] = [
      ['TYPE\r\n', () => void pc.keyboard.type('Hello, {World}! ~|\\ 42\n')],
      [
        'MOVE\r\n',
        () => {
          void pc.keyboard.press('CapsLock')
          void pc.mouse.move(5, 3)
        },
      ],
      // One after the other: the driver joins reports that nobody has read.
      [' 28 05 fd\r\n', () => void pc.mouse.down('left')],
      [' 09 00 00\r\n', () => void pc.mouse.up('left')],
      [' 08 00 00\r\n', () => void pc.mouse.move(-7, 0)],
    ]
    const conversation = converse(pc, answers)
    const exit = await pc.run({ timeoutMs: DEADLINE_MS - 20_000 })
    pc.close()
    const { text, given } = conversation
    expect([exit.reason, given], text).toEqual(['power-off', answers.length])
    expect(text).toContain('Name="AT Translated Set 2 keyboard"')
    expect(text).toContain('Name="ImExPS/2 Generic Explorer Mouse"')
    expect(text).not.toMatch(/i8042.*(fail|error|timeout|No PS.2)|Spurious|Unknown key|lost sync/i)
    expect(text).toContain('typed: Hello, {World}! ~|\\ 42\r\n')
    const reports = /MOVE\r\n([^]*)DONE/
      .exec(text)?.[1]
      ?.trim()
      .split(/\s*\r\n\s*/)
    expect(reports).toEqual(['28 05 fd', '09 00 00', '08 00 00', '18 f9 00'])
    expect(pc.keyboard.leds).toEqual({ numLock: false, capsLock: true, scrollLock: false })
  })
})
