import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLong } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { BEHIND_PORTS, type DiskLinux, linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { linesOf, openHost } from '../support/network-host.ts'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 240_000
const DISK_BYTES = 4 << 20

/** The end of the first process: moves data by the network. */
const NETWORK = `ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo "get $(wget -q -O - http://10.0.2.2:$http/data | sha256sum)"
dd if=/dev/urandom of=/tmp/up bs=1k count=3000 2>/dev/null
echo "put $(sha256sum < /tmp/up)"
nc 10.0.2.2 $sink < /tmp/up
echo DONE
poweroff -f
`

const BEGIN = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
/drivers
`

/** The first process: reads and writes disks of several controllers, and moves data by the network. */
const AUTO = `${BEGIN}for d in sda vda sr0 nvme0n1 sdb; do echo "$d $(sha256sum < /dev/$d)"; done
for d in vda nvme0n1 sdb; do dd if=/dev/sda of=/dev/$d bs=64k conv=fsync 2>/dev/null; done
dd if=/dev/urandom of=/dev/sda bs=64k count=16 conv=fsync 2>/dev/null
echo 3 > /proc/sys/vm/drop_caches
for d in sda vda nvme0n1 sdb; do echo "new-$d $(sha256sum < /dev/$d)"; done
${NETWORK}`

/** The same of a q35: a disk and a disc of AHCI, and an e1000. */
const SATA_AUTO = `${BEGIN}for d in sda sr0; do echo "$d $(sha256sum < /dev/$d)"; done
dd if=/dev/sr0 of=/dev/sda bs=64k conv=fsync 2>/dev/null
echo 3 > /proc/sys/vm/drop_caches
echo "new-sda $(sha256sum < /dev/sda)"
${NETWORK}`

const DRIVERS = ['ata_piix', 'sd_mod', 'sr_mod', 'virtio_pci', 'virtio_blk', 'virtio_scsi', 'virtio_net', 'nvme']
const linux = await linuxWith(DRIVERS, AUTO)
const sataLinux = await linuxWith(['ahci', 'sd_mod', 'sr_mod', 'e1000'], SATA_AUTO, BEHIND_PORTS)
const scratch = temporaryFolder('controllers')
const note = skipNote(linux !== undefined, 'there is no apt')

/** Has a Linux use its devices, its network card among them. @returns what lines of it have, and all that was printed */
async function useDevices(linux: DiskLinux, card: string, args: readonly string[]) {
  const host = await openHost()
  const initrd = join(scratch, 'initrd')
  writeFileSync(initrd, linux.initrd)
  const { http, sink } = host.ports
  try {
    const { code, stdout, stderr } = await runRetrap(
      [
        ...['run', '--kernel', linux.kernelPath, '--initrd', initrd, ...args],
        ...['--append', `${TO_DEVICES} rdinit=/auto http=${http} sink=${sink}`],
        ...['--netdev', 'user,id=u', '--device', `${card},netdev=u`],
      ],
      { deadlineMs: DEADLINE_MS - 10_000 },
    )
    const [text, line] = [stdout + stderr, linesOf(stdout)]
    expect.soft(line('get'), text).toContain(sha256(host.data))
    expect.soft(line('put')).toContain(sha256(Buffer.concat(host.taken)))
    expect.soft(text).not.toMatch(/timeout|i\/o error|lost interrupt/i)
    expect.soft(code).toBe(0)
    return { text, line }
  } finally {
    host.close()
  }
}

describe.runIf(linux !== undefined)(`controllers in a Worker${note}`, () => {
  test.each(withLong([[['--controllers', 'worker', '--devices', 'worker']]], [[['--controllers', 'worker']]]))(
    'Linux uses IDE, virtio, SCSI and NVMe disks and a network card: %s',
    { timeout: DEADLINE_MS },
    async (placement) => {
      const names = ['ide', 'virtio', 'disc', 'nvme', 'scsi']
      const contents = new Map(names.map((name) => [name, randomBytes(DISK_BYTES)]))
      const path = (name: string): string => join(scratch, `${name}.img`)
      for (const [name, content] of contents) writeFileSync(path(name), content)
      const { text, line } = await useDevices(linux!, 'virtio-net-pci', [
        ...placement,
        ...['--drive', `file=${path('ide')},format=raw`, '--drive', `file=${path('virtio')},format=raw,if=virtio`],
        ...['--drive', `file=${path('disc')},format=raw,media=cdrom`],
        ...['--drive', `file=${path('nvme')},format=raw,if=none,id=n`, '--device', 'nvme,drive=n'],
        ...['--drive', `file=${path('scsi')},format=raw,if=scsi`],
      ])
      const devices = { ide: 'sda', virtio: 'vda', disc: 'sr0', nvme: 'nvme0n1', scsi: 'sdb' }
      for (const [name, device] of Object.entries(devices)) {
        expect.soft(line(device), `${name}: ${text}`).toContain(sha256(contents.get(name)!))
        if (name === 'disc') continue
        const now = readFileSync(path(name))
        expect.soft(line(`new-${device}`), name).toContain(sha256(now))
        if (name !== 'ide') expect.soft(sha256(now), name).toBe(sha256(contents.get('ide')!))
      }
    },
  )

  test('Linux of a q35 uses SATA drives and an e1000', { timeout: DEADLINE_MS }, async () => {
    const [disk, disc] = [randomBytes(DISK_BYTES), randomBytes(DISK_BYTES)]
    const path = (name: string): string => join(scratch, `sata-${name}`)
    writeFileSync(path('disk'), disk)
    writeFileSync(path('disc'), disc)
    const { text, line } = await useDevices(sataLinux!, 'e1000', [
      ...['--machine', 'q35', '--controllers', 'worker'],
      ...['--drive', `file=${path('disk')},format=raw`, '--drive', `file=${path('disc')},format=raw,media=cdrom`],
    ])
    expect.soft(line('sda'), text).toContain(sha256(disk))
    expect.soft(line('sr0')).toContain(sha256(disc))
    expect.soft(line('new-sda')).toContain(sha256(disc))
    expect(readFileSync(path('disk'))).toEqual(disc)
  })
})
