import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { makeGrubDisk, sumOf } from '../support/boot-media.ts'
import { linuxWith } from '../support/disk-linux.ts'
import { runRetrap } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'

const DEADLINE_MS = 600_000

const lacking = lackingPrograms('mke2fs', 'debugfs', 'e2fsck', 'grub-mkimage')
const drivers = ['virtio_pci', 'virtio_scsi', 'sd_mod', 'sr_mod']
const linux = lacking.length === 0 ? await linuxWith(drivers, '') : undefined
const scratch = temporaryFolder('scsi')

const note = skipNote(linux !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)

describe.runIf(linux !== undefined)(`SCSI${note}`, () => {
  test(
    "SeaBIOS and GRUB start Linux from a SCSI disk; Linux's driver finds, reads and writes three drives",
    async () => {
      const image = (await makeGrubDisk(mkdtempSync(join(scratch, 'grub-')), linux!))!
      const disc = join(scratch, 'disc.iso')
      writeFileSync(disc, Buffer.alloc(2048 * 64, 'on the disc '))
      const thin = join(scratch, 'thin.qcow2')
      expect((await runRetrap(['image', 'create', '-f', 'qcow2', thin, '1M'], { deadlineMs: DEADLINE_MS })).code).toBe(
        0,
      )
      const drives = [
        ...['--device', 'virtio-scsi-pci,id=s,addr=6,num_queues=2'],
        ...['--drive', `file=${image},if=none,id=d`],
        ...['--device', 'scsi-hd,drive=d,bus=s.0,scsi-id=4,serial=SC-1,bootindex=0'],
        ...['--drive', `file=${disc},if=none,media=cdrom,id=c`, '--device', 'scsi-cd,drive=c'],
        ...['--drive', `file=${thin},if=scsi,index=2`],
      ]
      const { code, stdout } = await runRetrap(['run', ...drives, '--no-reboot', '--devices', 'inline'], {
        answers: [
          {
            to: '/ # ',
            type: '/drivers; sleep 2; cd /sys/class/scsi_device; for d in *; do echo $d $(cat $d/device/model); done; cd /\n',
          },
          {
            to: '0:0:4:0 DISK',
            type: 'cd /sys/class/scsi_device; D=$(ls 0:0:4:0/device/block); T=$(ls 0:0:2:0/device/block); cd /; head -c 20 /dev/sr0; echo; mount /dev/${D}1 /mnt; cat /mnt/note.txt\n',
          },
          {
            to: 'written by the host',
            type: 'cat /sys/block/$D/device/vpd_pg80 | tail -c 4; echo; cat /sys/block/$T/queue/discard_max_bytes\n',
          },
          { to: 'SC-1', type: 'head -c 3000000 /dev/urandom > /mnt/new; sync; sha256sum /mnt/new\n' },
          {
            to: '  /mnt/new',
            type: 'echo - - - > /sys/class/scsi_host/host0/scan; head -c 1048576 /dev/urandom > /r; dd if=/r of=/dev/$T bs=64k oflag=direct; cmp /r /dev/$T && blkdiscard /dev/$T && echo discarded-$((6 * 7))\n',
          },
          { to: 'discarded-42', type: 'umount /mnt; dmesg | grep -iE "scsi|sd[ab]|sr0"; poweroff -f\n' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('GRUB starts Linux')
      for (const row of ['0:0:0:0 CD-ROM', '0:0:2:0 DISK', '0:0:4:0 DISK']) expect(stdout).toContain(row)
      for (const text of ['on the disc on the d', 'discarded-42']) expect(stdout).toContain(text)
      // By MODE SENSE(6)
      expect(stdout).toMatch(/\[sr0\] scsi3-mmc drive: 4x\/4x.* tray/)
      expect(stdout).not.toMatch(/(?:sd[ab]|sr0|scsi).*(?:timeout|i\/o error|failed|abort|invalid)/i)
      const told = /([0-9a-f]{64}) {2}\/mnt\/new/.exec(stdout)?.[1]
      expect(sumOf(`${image}?offset=1048576`, '/new')).toBe(told)
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
