import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { openImage } from '@retrap/block/node'
import { Keyboard, Mouse } from '@retrap/display'
import { createPc, type PcOptions } from '@retrap/machine'
import { debianMembers } from '@retrap/tooling/debian'
import { withLong } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { UsbKeyboard, UsbPointer } from '@retrap/usb'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { type Answer, converse } from '../support/answers.ts'
import { GRUB_READS_LINE, makeGrubDisk, makeGrubEfiDisk } from '../support/boot-media.ts'
import { usbLinux } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { TEST_JIT } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 540_000

/** The first process: tells what is plugged in, what is typed and pointed at, and writes to the stick. */
const AUTO = `${FIRST_PROCESS}/drivers
while ! [ -b /dev/sda1 ] || ! grep -q Tablet /proc/bus/input/devices; do sleep 0.1; done
for d in /sys/bus/usb/devices/*-*; do [ -f $d/product ] && echo "usb: $(cat $d/product), $(cat $d/speed), $(echo $(cat $d/version))"; done
exec 3</dev/tty1 4</dev/input/event$(grep -A4 Tablet /proc/bus/input/devices | sed -n 's/.*event\\([0-9]*\\).*/\\1/p')
echo TYPE
read -r line <&3
echo "typed: $line"
echo POINT
dd bs=24 count=3 <&4 2>/dev/null | od -An -tx2 -w24
mount /dev/sda1 /mnt
[ -f /mnt/note.txt ] && cat /mnt/note.txt
head -c 3000000 /dev/urandom > /mnt/new
sync
sha256sum /mnt/new
umount /mnt
echo 1 > /sys/bus/usb/devices/2-1/remove
sleep 1
dmesg | grep -iE 'usb|xhci|sd |scsi' | tail -n 40
poweroff -f
`

const lacking = lackingPrograms('mke2fs', 'debugfs', 'e2fsck', 'grub-mkimage', 'mcopy')
const plain = lacking.length === 0 ? await usbLinux(AUTO) : undefined
// Firmware reads it from the stick, piece by piece.
const linux = plain === undefined ? undefined : { ...plain, initrd: gzipSync(plain.initrd) }
const [seabios = '', ovmf = ''] =
  (await debianMembers([
    { package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] },
    { package: 'ovmf', members: ['./usr/share/OVMF/OVMF_CODE_4M.fd', './usr/share/OVMF/OVMF_VARS_4M.fd'] },
  ])) ?? []
const scratch = temporaryFolder('usb')
const note = skipNote(linux !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)

const COMMAND_LINE = `${TO_DEVICES} rdinit=/auto`

/** Boots a stick, types by USB and nothing else, and follows the guest to its end. @returns what it has said */
async function boot(image: string, options: Partial<PcOptions>): Promise<string> {
  const stick = await openImage(image, { format: 'raw' })
  // Of the USB devices alone: the machine's own keyboard and mouse are others.
  const [keyboard, mouse] = [new Keyboard(), new Mouse()]
  const pc = await createPc({
    memoryBytes: 512 << 20,
    jit: TEST_JIT,
    drives: [{ medium: stick, interface: 'usb', serialNumber: 'STICK-1', bootIndex: 0 }],
    usb: {
      devices: [
        { kind: 'device', device: new UsbKeyboard({ input: keyboard }) },
        { kind: 'device', device: new UsbPointer({ kind: 'tablet', input: mouse }) },
      ],
    },
    vga: 'std',
    ...options,
  })
  const answers: readonly Answer[] = [
    ['TYPE A LINE', () => void keyboard.type('by usb\n')],
    ['TYPE\r\n', () => void keyboard.type('Hello, {World}! ~|\\ 42\n')],
    ['POINT\r\n', () => void mouse.moveTo(0x1234, 0x4321)],
  ]
  const conversation = converse(pc, answers)
  const exit = await pc.run({ timeoutMs: DEADLINE_MS - 20_000 })
  pc.close()
  await stick.close()
  const { text, given } = conversation
  expect([exit.reason, given], text).toEqual(['power-off', answers.length])
  return text
}

/** What both boots show. */
function checkText(text: string): void {
  expect(text).toContain('typed: by usb')
  expect(text).toContain('usb: USB Storage, 5000, 3.00')
  expect(text).toContain('usb: USB Keyboard, 12, 2.00')
  expect(text).toContain('usb: USB Tablet, 12, 2.00')
  expect(text).toContain('typed: Hello, {World}! ~|\\ 42\r\n')
  // EV_ABS, ABS_X and ABS_Y with their values
  expect(text).toMatch(/ 0003 0000 1234 0000\r\n.* 0003 0001 4321 0000\r\n/)
  expect(text).not.toMatch(/(?:xhci|usb|sd ).*(?:timeout|error|fail|died|WARN)/i)
}

/** Whether the host reads on the stick what Linux has written. */
function checkFile(text: string, read: (into: string) => void): void {
  const out = join(scratch, 'new')
  read(out)
  const told = /([0-9a-f]{64}) {2}\/mnt\/new/.exec(text)?.[1]
  expect(sha256(readFileSync(out))).toBe(told)
}

describe.runIf(linux !== undefined)(`USB${note}`, () => {
  test(
    'SeaBIOS and GRUB start Linux from a stick and read a USB keyboard; Linux drives both, and a tablet',
    async () => {
      const folder = mkdtempSync(join(scratch, 'bios-'))
      const image = (await makeGrubDisk(folder, linux!, COMMAND_LINE, undefined, GRUB_READS_LINE))!
      const firmware = new Uint8Array(readFileSync(join(seabios, 'usr/share/seabios/bios-256k.bin')))
      const text = await boot(image, { firmware })
      checkText(text)
      expect(text).toContain('written by the host')
      execFileSync('e2fsck', ['-fn', `${image}?offset=1048576`], { stdio: 'pipe' })
      checkFile(text, (into) =>
        execFileSync('debugfs', ['-R', `dump /new ${into}`, `${image}?offset=1048576`], { stdio: 'pipe' }),
      )
    },
    DEADLINE_MS,
  )

  test.each(withLong([], ['q35' as const]))(
    'UEFI firmware and GRUB do the same on a %s',
    async (machine) => {
      const folder = mkdtempSync(join(scratch, 'efi-'))
      const image = (await makeGrubEfiDisk(folder, linux!, COMMAND_LINE, GRUB_READS_LINE))!
      const vars = join(folder, 'vars.fd')
      copyFileSync(join(ovmf, 'usr/share/OVMF/OVMF_VARS_4M.fd'), vars)
      const code = await openImage(join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.fd'), { format: 'raw', readOnly: true })
      const variables = await openImage(vars, { format: 'raw' })
      const flash = [{ medium: code, readOnly: true }, { medium: variables }]
      const text = await boot(image, { machine, flash })
      await code.close()
      await variables.close()
      checkText(text)
      checkFile(text, (into) => execFileSync('mcopy', ['-i', `${image}@@${1 << 20}`, '::/new', into]))
    },
    DEADLINE_MS,
  )
})
