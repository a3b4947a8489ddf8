/** Linux for arm64 with virtio devices in memory (virtio-mmio), by a line of QEMU's: used, recorded, saved and restored. */
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLong } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { armLinux } from '../support/disk-linux.ts'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 240_000

const AUTO = `${FIRST_PROCESS}/drivers
for d in /sys/bus/virtio/devices/*; do readlink $d; done | sed s,/virtio.$,,
sha256sum /dev/vda
echo READY; sleep 2
dd if=/dev/zero of=/dev/vda bs=64k count=8 conv=fsync 2>/dev/null
cat /sys/bus/virtio/devices/*/device
grep virtio /proc/interrupts
echo DONE
poweroff -f
`
const linux = await armLinux(['virtio_mmio', 'virtio_blk'], AUTO)
const scratch = temporaryFolder('mmio')
const at = (name: string): string => join(scratch, name)

const disk = randomBytes(1 << 20)
const sum = sha256(disk)

/** @param more - further options */
const line = (...more: readonly string[]): string[] => [
  ...['qemu', 'qemu-system-aarch64', '-M', 'virt', '-m', '512', '-nographic'],
  ...['-kernel', linux!.kernelPath, '-initrd', at('initrd'), '-append', 'console=ttyAMA0 quiet rdinit=/auto'],
  ...['-drive', `file=${at('disk')},if=none,format=raw,id=hd0`, '-device', 'virtio-blk-device,drive=hd0'],
  ...['-netdev', 'user,id=n0', '-device', 'virtio-net-device,netdev=n0', '-device', 'virtio-rng-device', ...more],
]

const check = (stdout: string): void => {
  // Random bytes, the network card and the disk, whose driver is there.
  expect(stdout).toContain('0x0004\r\n0x0001\r\n0x0002\r\n')
  expect(stdout).toMatch(/GICv3 +79 Edge +virtio2/)
  expect(stdout).toContain('DONE')
  expect(stdout).not.toMatch(/BUG:|WARNING:|Oops|Call trace|panic/)
  expect(readFileSync(at('disk')).subarray(0, 8 << 16)).toEqual(Buffer.alloc(8 << 16))
  expect(readFileSync(at('disk')).subarray(8 << 16)).toEqual(disk.subarray(8 << 16))
}

describe.runIf(linux !== undefined)(`virtio-mmio${skipNote(linux !== undefined, 'there is no apt')}`, () => {
  test.each(withLong([['saved and restored'] as const], [['recorded and replayed'] as const]))(
    'Linux uses a disk there, %s, beside a network card and random bytes',
    async (how) => {
      writeFileSync(at('initrd'), linux!.initrd)
      writeFileSync(at('disk'), disk)
      const isRecorded = how.startsWith('recorded')
      const more = isRecorded ? ['-icount', `shift=auto,rr=record,rrfile=${at('run')}`] : []
      const leave = { answers: [{ to: 'READY', type: '\u0001x' }] }
      const args = isRecorded ? line(...more) : [...runLine(), '--save-on-exit', at('saved')]
      const first = await runRetrap(args, { deadlineMs: DEADLINE_MS, ...(!isRecorded && leave) })
      expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('retrap')])
      // The first device is at the last transport, as QEMU's board has it.
      expect(first.stdout).toMatch(/a003a00.virtio_mmio\r\n.*a003c00.virtio_mmio\r\n.*a003e00.virtio_mmio\r\n/)
      expect(first.stdout).toContain(sum)
      const replay = isRecorded ? ['-icount', `shift=auto,rr=replay,rrfile=${at('run')}`] : []
      const second = await runRetrap(isRecorded ? line(...replay) : ['restore', at('saved')], {
        deadlineMs: DEADLINE_MS,
      })
      expect([second.code, second.stderr]).toEqual([0, expect.not.stringContaining('diverge')])
      check(second.stdout)
      if (isRecorded) expect(second.stdout).toBe(first.stdout)
    },
    2 * DEADLINE_MS,
  )
})

/** The same in options of ours. */
const runLine = (): string[] => [
  ...['run', '--arch', 'arm64', '--memory', '512M', '--kernel', linux!.kernelPath, '--initrd', at('initrd')],
  ...['--append', 'console=ttyAMA0 quiet rdinit=/auto', '--drive', `file=${at('disk')},if=none,format=raw,id=hd0`],
  ...['--device', 'virtio-blk-device,drive=hd0', '--netdev', 'user,id=n0', '--device', 'virtio-net-device,netdev=n0'],
  ...['--device', 'virtio-rng-device'],
]
