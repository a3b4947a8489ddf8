import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { BEHIND_PORTS, linuxWith } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 240_000
const DRIVERS = ['virtio_pci', 'virtio_blk', 'e1000'] as const
const KERNEL = { ...BEHIND_PORTS, members: [...BEHIND_PORTS.members, './lib/modules/*/kernel/drivers/block/*'] }

const linux = await linuxWith(DRIVERS, '', KERNEL)
const scratch = temporaryFolder('commands')

/** What is typed after Ctrl-A c. */
const command = (line: string): string => `\u0001c${line}\r`
/** Waits until a path is there, or is not, and tells it. */
const wait = (when: 'comes' | 'goes', path: string, then: string): string =>
  `while ${when === 'comes' ? '! ' : ''}[ -e ${path} ]; do sleep 0.1; done; ${then}\n`

test.skipIf(linux === undefined)(
  `Linux finds a disk and a card that commands plug in, and gives the disk up${skipNote(linux !== undefined, 'there is no apt')}`,
  { timeout: DEADLINE_MS },
  async () => {
    const [initrd, image] = [join(scratch, 'initrd'), join(scratch, 'disk.img')]
    writeFileSync(initrd, linux!.initrd)
    writeFileSync(image, Buffer.alloc(1 << 20, 'DISK'))
    const ports = ['rp1', 'rp2'].flatMap((id) => ['--device', `pcie-root-port,id=${id}`])
    const kernel = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', TO_DEVICES]
    const { code, stdout, stderr } = await runRetrap(['run', '--machine', 'q35', ...kernel, ...ports], {
      answers: [
        { to: '/ # ', type: '/drivers; echo ready-$((6 * 7))\n' },
        {
          to: 'ready-42',
          type: `${command(`drive_add 0 if=none,id=d1,file=${image},format=raw`)}${command('device_add virtio-blk-pci,drive=d1,bus=rp1,id=disk')}${wait('comes', '/dev/vda', 'head -c 4 /dev/vda; echo WRITE | dd of=/dev/vda conv=fsync; echo read-$((6 * 7))')}`,
        },
        {
          to: 'read-42',
          type: `${command('netdev_add user,id=n')}${command('device_add e1000,netdev=n,bus=rp2,id=card')}${wait('comes', '/sys/class/net/eth0', 'cat /sys/class/net/eth0/address; echo card-$((6 * 7))')}`,
        },
        {
          to: 'card-42',
          type: `${command('info pci')}${command('device_del disk')}${wait('goes', '/dev/vda', 'echo gone-$((6 * 7))')}`,
        },
        { to: 'gone-42', type: `sleep 1; echo end-$((6 * 7))\n` },
        { to: 'end-42', type: `${command('info block')}${command('info network')}poweroff -f\n` },
      ],
      deadlineMs: DEADLINE_MS,
    })
    const said = `${stdout}\n${stderr}`
    expect(stdout, said).toMatch(/DISK[^]*read-42[^]*52:54:00:12:34:56[^]*gone-42/)
    expect(stderr).toMatch(/SCSI controller: PCI device 1af4:10[^]*id "disk"[^]*Ethernet controller[^]*id "card"/)
    expect(stderr).toContain('disk: the guest is asked to give it up\r\n')
    expect(stderr).toContain('disk: out\r\n')
    expect(stderr).toContain('There is no CD or floppy drive, and no disk with an id.\r\n')
    expect(stderr).toContain('n: a card has it\r\n')
    expect(readFileSync(image, 'latin1').slice(0, 6)).toBe('WRITE\n')
    expect(code).toBe(0)
  },
)
