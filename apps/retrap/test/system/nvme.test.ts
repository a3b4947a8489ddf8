import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { makeGrubDisk, sumOf } from '../support/boot-media.ts'
import { linuxWith } from '../support/disk-linux.ts'
import { runRetrap } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'

const DEADLINE_MS = 300_000

const lacking = lackingPrograms('mke2fs', 'debugfs', 'e2fsck', 'grub-mkimage')
const linux = lacking.length === 0 ? await linuxWith(['nvme'], '') : undefined
const scratch = temporaryFolder('nvme')

const note = skipNote(linux !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)

describe.runIf(linux !== undefined)(`NVMe${note}`, () => {
  test(
    "SeaBIOS and GRUB start Linux from an NVMe drive; Linux's driver writes to it",
    async () => {
      const image = (await makeGrubDisk(mkdtempSync(join(scratch, 'grub-')), linux!))!
      const drive = ['--drive', `file=${image},if=none,id=d`, '--device', 'nvme,drive=d,serial=NV-1,addr=7']
      const { code, stdout } = await runRetrap(['run', ...drive, '--no-reboot', '--devices', 'inline'], {
        answers: [
          { to: '/ # ', type: '/drivers; sleep 1; cat /sys/class/nvme/nvme0/serial /sys/class/nvme/nvme0/transport\n' },
          { to: 'pcie', type: 'mount /dev/nvme0n1p1 /mnt; cat /mnt/note.txt; grep -c nvme0q /proc/interrupts\n' },
          { to: 'written by the host', type: 'head -c 3000000 /dev/urandom > /mnt/new; sync; sha256sum /mnt/new\n' },
          { to: '  /mnt/new', type: 'umount /mnt; dmesg | grep -i nvme; poweroff -f\n' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('GRUB starts Linux')
      expect(stdout).toContain('NV-1')
      // The admin queue's vector, and one of an I/O queue for the only processor
      expect(stdout).toMatch(/\r\n2\r\n/)
      expect(stdout).not.toMatch(/nvme.*(?:timeout|error|failed|invalid)/i)
      const told = /([0-9a-f]{64}) {2}\/mnt\/new/.exec(stdout)?.[1]
      expect(sumOf(`${image}?offset=1048576`, '/new')).toBe(told)
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
