import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { makeIso } from '../support/boot-media.ts'
import { BEHIND_PORTS, linuxWith } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'

const DEADLINE_MS = 300_000

/** One driver of each controller with a drive whose medium can be exchanged. */
const DRIVERS = [
  ...['ata_piix', 'ahci', 'virtio_pci', 'virtio_scsi', 'xhci_pci', 'usb_storage', 'sr_mod', 'isofs', 'floppy'],
] as const
const KERNEL = { ...BEHIND_PORTS, members: [...BEHIND_PORTS.members, './lib/modules/*/kernel/drivers/block/floppy.ko'] }

const lacking = lackingPrograms('xorriso')
const linux = lacking.length === 0 ? await linuxWith(DRIVERS, '', KERNEL) : undefined
const scratch = temporaryFolder('media')

/** A CD image with a note. */
function disc(note: string): string {
  const folder = join(scratch, `folder of ${note}`)
  mkdirSync(folder)
  writeFileSync(join(folder, 'note.txt'), `note: ${note}\n`)
  const path = join(scratch, `${note}.iso`)
  makeIso(path, folder)
  return path
}

function floppy(note: string): string {
  const path = join(scratch, `${note}.img`)
  writeFileSync(path, Buffer.alloc(1440 << 10, `note: ${note}\n`))
  return path
}

/** What is typed after Ctrl-A c. */
const command = (line: string): string => `\u0001c${line}\r`
const change = (drive: string, path: string): string => command(`change ${drive} "${path}"`)
/** The driver opens the tray when it is done with a disc; it closes it for the next mount. */
const AUTO_EJECT = 'C=/proc/sys/dev/cdrom; echo 1 > $C/autoeject; '
/** Mounts each disc and tells its note, and the floppy's. */
const TELL =
  'for d in /dev/sr?; do mount -t iso9660 $d /mnt && cat /mnt/note.txt && umount /mnt; done; [ -b /dev/fd0 ] && head -n 1 /dev/fd0; echo told-$((6 * 7))\n'

const note = skipNote(linux !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)

describe.runIf(linux !== undefined)(`discs and floppies that are exchanged${note}`, () => {
  const kernel = (): readonly string[] => {
    const initrd = join(scratch, 'initrd')
    writeFileSync(initrd, linux!.initrd)
    return ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', TO_DEVICES, '--devices', 'inline']
  }

  test('Linux sees those that are in: IDE, SCSI, USB, floppy', { timeout: DEADLINE_MS }, async () => {
    const kinds = ['ide', 'scsi', 'usb'] as const
    const [first, second] = ['one', 'two'].map((text) => kinds.map((kind) => disc(`${kind} ${text}`)))
    const media = [
      ...['--drive', `file=${first![0]},media=cdrom,id=ide`],
      ...['--drive', `file=${first![1]},if=none,media=cdrom,id=scsi`, '--device', 'scsi-cd,drive=scsi'],
      ...['--drive', `file=${first![2]},if=none,media=cdrom,id=usb`],
      ...['--device', 'qemu-xhci', '--device', 'usb-storage,drive=usb'],
      ...['--fda', floppy('floppy one')],
    ]
    const exchange = kinds.map((kind, i) => change(kind, second![i]!)).join('')
    const { code, stdout, stderr } = await runRetrap(['run', ...kernel(), ...media], {
      answers: [
        { to: '/ # ', type: '/drivers; while ! [ -b /dev/sr2 ]; do sleep 0.1; done; echo ready-$((6 * 7))\n' },
        { to: 'ready-42', type: TELL },
        { to: 'told-42', type: `${exchange}${change('floppy0', floppy('floppy two'))}sleep 2\n${TELL}` },
        { to: 'told-42', type: `${command('info block')}${command('eject ide')}sleep 1; head -c 1 /dev/sr0\n` },
        { to: 'medium', type: 'dmesg | grep -iE "i/o [e]rror|device .* not [f]ound"; poweroff -f\n' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    const notes = (text: string): readonly string[] =>
      [...text.matchAll(/^note: (.*?)\r?$/gm)].map(([, found]) => found!).toSorted()
    const [, before = '', after = ''] = stdout.split(/(?<=\n)(?:ready|told)-42/)
    expect(notes(before)).toEqual(['floppy one', 'ide one', 'scsi one', 'usb one'])
    expect(notes(after)).toEqual(['floppy two', 'ide two', 'scsi two', 'usb two'])
    for (const [i, kind] of kinds.entries()) expect(stderr).toContain(`${kind}: ${second![i]} (CD drive)`)
    expect(stderr).toContain('ide: empty\r\n')
    expect(stdout).toMatch(/sr0.*no medium found/i)
    expect(stdout).not.toMatch(/i\/o error|device .* not found/i)
    expect(code).toBe(0)
  })

  test(
    'a disc that is mounted stays unless it is forced, and the tray of the guest is that of the drive: SATA',
    async () => {
      const [first, second] = [disc('sata one'), disc('sata two')]
      const { code, stdout, stderr } = await runRetrap(['run', '--machine', 'q35', ...kernel(), '--cdrom', first], {
        answers: [
          { to: '/ # ', type: '/drivers; mount -t iso9660 /dev/sr0 /mnt; cat /mnt/note.txt\n' },
          {
            to: 'note: sata one',
            type: `${change('cd0', second)}sleep 1; ${AUTO_EJECT}umount /mnt; echo out-$((6 * 7))\n`,
          },
          {
            to: 'out-42',
            type: `${command('info block')}sleep 1; echo 0 > $C/autoeject; mount -t iso9660 /dev/sr0 /mnt; echo again: $(cat /mnt/note.txt)\n`,
          },
          { to: 'again: note: sata one', type: `${command(`change -f cd0 "${second}"`)}sleep 1; umount -l /mnt\n` },
          { to: '/ # ', type: 'mount -t iso9660 /dev/sr0 /cd; cat /cd/note.txt\n' },
          { to: 'note: sata two', type: 'poweroff -f\n' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      expect(stderr).toContain('cd0: the guest has locked the tray, and was asked to eject it')
      expect(stderr).toContain(`cd0: ${first} (CD drive, tray open)`)
      expect(stderr).toContain(`cd0: ${second}\r\n`)
      expect(stdout).toContain('note: sata two')
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
