import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { withLong } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'

const test = sliceTests(3)
const DEADLINE_MS = 150_000
const DISK_BYTES = 1 << 20

/** Sleeps for as many seconds as `alarm=` says, or without an alarm. The disk is read anew afterwards, and written to. */
const AUTO = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
/drivers
disk=/dev/$(ls /sys/block | grep '[sv]da')
echo kept in RAM > /tmp/note
echo kept on disk | dd of=$disk conv=fsync 2>/dev/null
date +%s > /tmp/before
alarm=$(sed 's/.*alarm=\\([0-9]*\\).*/\\1/' /proc/cmdline)
[ $alarm -gt 0 ] && echo +$alarm > /sys/class/rtc/rtc0/wakealarm
echo mem > /sys/power/state
echo 3 > /proc/sys/vm/drop_caches
[ $alarm -gt 0 ] && echo "slept for $(( $(date +%s) - $(cat /tmp/before) )) s"
cat /tmp/note
head -n 1 $disk
echo written after sleep | dd of=$disk bs=512 seek=1 conv=fsync 2>/dev/null
echo 3 > /proc/sys/vm/drop_caches
dd if=$disk bs=512 skip=1 2>/dev/null | head -n 1
echo "$(grep -c ^processor /proc/cpuinfo) processors"
poweroff -f
`

const [seabios = '', ovmf = ''] =
  (await debianMembers([
    { package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] },
    { package: 'ovmf', members: ['./usr/share/OVMF/OVMF_CODE_4M.fd', './usr/share/OVMF/OVMF_VARS_4M.fd'] },
  ])) ?? []
const linux = await linuxWith(['ata_piix', 'sd_mod', 'virtio_pci', 'virtio_blk', 'button'], AUTO)
const there = linux !== undefined
const scratch = temporaryFolder('sleep')

const uefi = ['--firmware', join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.fd')]
const bios = ['--firmware', join(seabios, 'usr/share/seabios/bios-256k.bin')]
const IDE = 'if=ide'
const VIRTIO = 'if=virtio'
const NO_ALARM = 0

describe.runIf(there)(`Linux sleeps in S3, wakes, and goes on${skipNote(there, 'cannot fetch it')}`, () => {
  test.each(
    withLong<readonly [what: string, drive: string, alarm: number, more: readonly string[]]>(
      [
        [
          'by the button that SIGTERM presses, without firmware, on a q35 whose board is in a Worker',
          VIRTIO,
          NO_ALARM,
          ['--machine', 'q35', '--devices', 'worker'],
        ],
        ['by its alarm, from SeaBIOS', IDE, 20, ['--deterministic', '--cpus', '2', ...bios]],
        ['by its alarm, from OVMF on a q35', VIRTIO, 20, ['--deterministic', '--machine', 'q35', ...uefi]],
      ],
      [['by its alarm, without firmware', IDE, 20, ['--deterministic', '--cpus', '2']]],
    ),
  )('%s', { timeout: DEADLINE_MS }, async (_what, drive, alarm, more) => {
    const [initrd, disk] = ['initrd', 'disk.img'].map((name) => join(scratch, name)) as [string, string]
    writeFileSync(initrd, linux!.initrd)
    writeFileSync(disk, new Uint8Array(DISK_BYTES))
    const append = `${TO_DEVICES} rdinit=/auto alarm=${alarm}`
    const images = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', append]
    const drives = ['--drive', `file=${disk},format=raw,${drive}`]
    let pressed = false
    const { code, stdout, stderr } = await runRetrap(['run', ...images, ...drives, '--no-reboot', ...more], {
      onError: (output, pid) => {
        if (alarm > 0 || pressed || !output.includes('the guest sleeps')) return
        pressed = true
        process.kill(pid, 'SIGTERM')
      },
      deadlineMs: DEADLINE_MS,
    })
    expect(stdout).toMatch(/kept in RAM\s+kept on disk\s+written after sleep/)
    expect(stderr).toMatch(/the guest sleeps;[^]*the guest wakes/)
    if (alarm > 0) expect(Number(/slept for (\d+) s/.exec(stdout)?.[1])).toBeGreaterThanOrEqual(alarm)
    expect(stdout).toContain(`${more.includes('--cpus') ? 2 : 1} processors`)
    expect(code).toBe(0)
  })
})
