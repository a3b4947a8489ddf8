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
const MIB = 1 << 20

const DRIVERS = 'virtio_pci virtio_blk nvme ahci sd_mod virtio_scsi e1000 xhci_pci usb_storage'.split(' ')
/** Reads all disks, and writes to those whose names tell which they are. */
const AUTO = `${FIRST_PROCESS}/drivers
until [ -e /dev/sdc ]; do sleep 1; done
for d in vda nvme0n1 sda sdb sdc; do sha256sum /dev/$d; done
for d in vda nvme0n1; do dd if=/dev/urandom of=/dev/$d bs=64k count=8 conv=fsync 2>/dev/null; done
for d in vda nvme0n1; do echo now $(sha256sum /dev/$d); done
cat /proc/interrupts
echo $(cat /sys/class/net/eth0/address)
poweroff -f
`
const linux = await armLinux(DRIVERS, AUTO)
const note = skipNote(linux !== undefined, 'there is no apt')
const scratch = temporaryFolder('arm')

describe.runIf(linux !== undefined)(`PCI devices of an Arm machine${note}`, () => {
  test.each(withLong([['inline', 3, 2, 'ITS-MSI'] as const], [['async', 2, 2, 'MSI'] as const]))(
    'Linux reads and writes disks of all kinds by their own interrupts, devices %s, with a GICv%d and %d CPUs',
    async (devices, gic, cpus, messages) => {
      const initrd = join(scratch, 'initrd')
      writeFileSync(initrd, linux!.initrd)
      const names = ['virtio', 'nvme', 'sata', 'scsi', 'usb']
      const disks = names.map((name) => {
        const path = join(scratch, `${name}-${devices}`)
        const bytes = randomBytes(2 * MIB)
        writeFileSync(path, bytes)
        return { path, bytes }
      })
      const [virtio, nvme, sata, scsi, usb] = disks.map(({ path }) => `file=${path},format=raw`)
      const board = ['--arch', 'arm64', '--machine', `virt,gic-version=${gic}`, '--cpus', `${cpus}`]
      const append = 'console=ttyAMA0 cryptomgr.notests rdinit=/auto panic=-1'
      const args = [
        ...['run', ...board, '--devices', devices],
        ...['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', append],
        ...['--drive', `${virtio},if=virtio`, '--drive', `${sata}`, '--drive', `${scsi},if=scsi`],
        ...['--device', 'pcie-root-port,id=rp', '--drive', `${nvme},if=none,id=n`],
        ...['--device', 'nvme,drive=n,serial=N1,bus=rp', '--drive', `${usb},if=none,id=u`],
        ...['--device', 'qemu-xhci', '--device', 'usb-storage,drive=u', '--nic', 'user,model=e1000'],
      ]
      const { code, stdout, stderr } = await runRetrap(args, { deadlineMs: DEADLINE_MS })
      expect(stderr).toBe('')
      for (const { path, bytes } of disks) expect(stdout, path).toContain(`${sha256(bytes)}  /dev/`)
      expect(stdout).toContain(`${sha256(disks[0]!.bytes)}  /dev/vda`)
      expect(stdout).toContain(`${sha256(disks[1]!.bytes)}  /dev/nvme0n1`)
      expect(stdout).toContain(`now ${sha256(readFileSync(disks[0]!.path))} /dev/vda`)
      expect(stdout).toContain(`now ${sha256(readFileSync(disks[1]!.path))} /dev/nvme0n1`)
      // MSI-X of virtio and NVMe, MSI of SATA, and a pin of the network card's are in the table of the GIC.
      expect(stdout).toMatch(new RegExp(`${messages} +\\d+ Edge +virtio\\d-req\\.0`))
      expect(stdout).toMatch(new RegExp(`${messages} +\\d+ Edge +nvme0q1`))
      expect(stdout).toMatch(new RegExp(`${messages} +\\d+ Edge +ahci`))
      expect(stdout).toContain('52:54:00:12:34:56')
      expect(stdout).not.toMatch(/BUG:|WARNING:|Oops|I\/O error|timeout|no [a-z0-9_]+\r$/)
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
