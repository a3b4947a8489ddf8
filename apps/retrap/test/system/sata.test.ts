import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { makeExt4, makeGrubEfiDisk, makeIso, sumOf } from '../support/boot-media.ts'
import { sataLinux } from '../support/disk-linux.ts'
import { runRetrap } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 300_000
const lacking = lackingPrograms('mke2fs', 'debugfs', 'e2fsck', 'xorriso', 'grub-mkimage', 'mformat', 'mmd', 'mcopy')
const linux = lacking.length === 0 ? await sataLinux() : undefined
const OVMF = ['OVMF_CODE_4M.fd', 'OVMF_VARS_4M.fd'].map((name) => `./usr/share/OVMF/${name}`)
const [ovmf = ''] = (linux && (await debianMembers([{ package: 'ovmf', members: OVMF }]))) ?? []
const scratch = temporaryFolder('sata')
const note = skipNote(linux !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)

describe.runIf(linux !== undefined)(`a q35 with SATA drives${note}`, () => {
  test(
    'OVMF and GRUB start Linux from a disk; what it writes is in another one, and it reads a CD',
    async () => {
      const image = (await makeGrubEfiDisk(mkdtempSync(join(scratch, 'efi-')), linux!))!
      const folder = join(scratch, 'data')
      mkdirSync(folder)
      writeFileSync(join(folder, 'note.txt'), 'written by the host\n')
      const [data, cd, vars] = ['data.img', 'cd.iso', 'vars.fd'].map((name) => join(scratch, name)) as [
        string,
        string,
        string,
      ]
      makeExt4(data, 32 << 20, folder)
      makeIso(cd, folder)
      copyFileSync(join(ovmf, 'usr/share/OVMF/OVMF_VARS_4M.fd'), vars)
      const flash = ['--firmware', join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.fd'), '--firmware-vars', vars]
      const drives = ['--hda', image, '--hdb', data, '--cdrom', cd]
      const { code, stdout } = await runRetrap(['run', '--machine', 'q35', ...flash, ...drives], {
        answers: [
          {
            to: '/ # ',
            // Linux looks at both ports at once, and names disks as they answer.
            type: '/drivers; for d in sda sdb; do mount -t ext4 /dev/$d /mnt && break; done; cat /mnt/note.txt; dmesg | grep -i ncq\n',
          },
          { to: 'written by the host', type: 'head -c 3000000 /dev/urandom > /mnt/new; sync; sha256sum /mnt/new\n' },
          { to: '  /mnt/new', type: 'mount -o ro /dev/sr0 /cd; sha256sum /cd/note.txt; umount /mnt; poweroff -f\n' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('GRUB starts Linux')
      expect(stdout).toContain('LBA48 NCQ (depth 32)')
      const note = sha256(readFileSync(join(folder, 'note.txt')))
      expect(/([0-9a-f]{64})  \/cd\/note\.txt/.exec(stdout)?.[1]).toBe(note)
      expect(/([0-9a-f]{64})  \/mnt\/new/.exec(stdout)?.[1]).toBe(sumOf(data, '/new'))
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
