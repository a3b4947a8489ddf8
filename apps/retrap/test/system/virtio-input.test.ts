import { readFileSync } from 'node:fs'
import { Keyboard, Mouse } from '@retrap/display'
import { createPc } from '@retrap/machine'
import { skipNote } from '@retrap/tooling/skip'
import { VirtioInput } from '@retrap/virtio/input'
import { describe, expect, test } from 'vitest'
import { type Answer, converse } from '../support/answers.ts'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { TEST_JIT } from '../support/processes.ts'

const DEADLINE_MS = 300_000

/** The first process: says when it reads each device, and shows its first events. */
const AUTO = `${FIRST_PROCESS}/drivers
while ! grep -q 'Virtio Tablet' /proc/bus/input/devices; do sleep 0.1; done
cat /sys/class/input/event*/device/uniq
show() {
  event=$(grep -A4 "Virtio $1" /proc/bus/input/devices | sed -n 's/.*\\(event[0-9]*\\).*/\\1/p')
  exec 3</dev/input/$event
  echo "READ $1"
  dd bs=24 count=$2 <&3 2>/dev/null | od -An -tx2 -w24 | sed "s/^/$1/"
  exec 3<&-
}
show Keyboard 4
show Mouse 3
show Tablet 3
printf '${'\\0'.repeat(16)}\\21\\0\\1\\0\\1\\0\\0\\0' > /dev/input/$(sed -n '/Virtio Keyboard/,/Handlers/s/.*\\(event[0-9]*\\).*/\\1/p' /proc/bus/input/devices)
sleep 0.2
poweroff -f
`

const linux = await linuxWith(['virtio_pci', 'virtio_input', 'evdev'], AUTO)

describe.runIf(linux !== undefined)(`virtio input${skipNote(linux !== undefined, 'there is no apt')}`, () => {
  test(
    "Linux's drivers show keys, motion and places at evdev, and light a lamp",
    async () => {
      // The machine's mouse goes to one of its pointers: the tablet has its own.
      const [keyboard, mouse, hand] = [new Keyboard(), new Mouse(), new Mouse()]
      const tablet = new VirtioInput({ kind: 'tablet', input: hand })
      const pc = await createPc({
        memoryBytes: 256 << 20,
        jit: TEST_JIT,
        kernel: new Uint8Array(readFileSync(linux!.kernelPath)),
        initrd: linux!.initrd,
        commandLine: `${TO_DEVICES} rdinit=/auto`,
        keyboard,
        mouse,
        virtio: [{ kind: 'keyboard', serialNumber: 'K-1' }, { kind: 'mouse' }, { kind: 'device', device: tablet }],
      })
      const answers: readonly Answer[] = [
        ['READ Keyboard\r\n', () => void keyboard.press('KeyA')],
        ['READ Mouse\r\n', () => void mouse.move(5, -7)],
        ['READ Tablet\r\n', () => void hand.moveTo(0x1234, 0x4321)],
      ]
      const conversation = converse(pc, answers)
      const exit = await pc.run({ timeoutMs: DEADLINE_MS - 20_000 })
      pc.close()
      const { text, given } = conversation
      expect([exit.reason, given], text).toEqual(['power-off', answers.length])
      expect(text).toContain('K-1')
      // Type, code and value of each event; a report ends what happened together.
      const report = ' 0000 0000 0000 0000'
      const events = [...text.matchAll(/^(?:Keyboard|Mouse|Tablet)(?: [0-9a-f]{4}){8}((?: [0-9a-f]{4}){4})\r$/gm)]
      expect(events.map(([, event]) => event)).toEqual([
        ...[' 0001 001e 0001 0000', report, ' 0001 001e 0000 0000', report],
        ...[' 0002 0000 0005 0000', ' 0002 0001 fff9 ffff', report],
        ...[' 0003 0000 1234 0000', ' 0003 0001 4321 0000', report],
      ])
      expect(keyboard.leds).toEqual({ numLock: false, capsLock: true, scrollLock: false })
    },
    DEADLINE_MS,
  )
})
