import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { BEHIND_PORTS, linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'

/** The first process of `rdinit=/auto`. */
const AUTO = `${FIRST_PROCESS}/drivers
sleep 2
cd /sys/bus/pci/devices
for i in *; do echo "$i $(cat $i/vendor)"; done
echo "$(head -c 32 /dev/hwrng | wc -c) random bytes"
ifconfig eth0 up
head -c 8 /dev/nvme0n1; echo
head -c 8 /dev/sda; echo
udhcpc -i eth0 -n -q -t 9 -A 1 -s /bin/true && echo "an address of eth0"
grep -E 'virtio|nvme|xhci|eth' /proc/interrupts
poweroff -f
`

const DRIVERS = ['virtio_pci', 'virtio_rng', 'nvme', 'e1000', 'af_packet', 'xhci_pci', 'usb_storage', 'sd_mod'] as const
const linux = await linuxWith(DRIVERS, AUTO, BEHIND_PORTS)
const folder = temporaryFolder('root-port')
const note = skipNote(linux !== undefined, 'there is no apt')
const PORTS = ['--machine', 'q35', '--device', 'pcie-root-port,id=rp1,addr=4', '--device', 'pcie-root-port,id=rp2']

test.skipIf(linux === undefined)(
  `Linux finds devices behind root ports, which reach memory and interrupts by them${note}`,
  { timeout: 120_000 },
  async () => {
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, linux!.initrd)
    const others = ['nvme', 'e1000', 'usb'].flatMap((id) => ['--device', `pcie-root-port,id=${id}`])
    const disk = (id: string): string => {
      const file = join(folder, `${id}.img`)
      writeFileSync(file, Buffer.concat([Buffer.from(`AT-${id}`.padEnd(8, '.')), new Uint8Array(1 << 20)]))
      return `if=none,format=raw,id=${id},file=${file}`
    }
    const { stdout, stderr, code } = await runRetrap(
      [
        ...['run', '--memory', '256M', '--kernel', linux!.kernelPath, '--initrd', initrd, ...PORTS],
        ...['--append', `${TO_DEVICES} rdinit=/auto`, '--device', 'virtio-rng-pci,bus=rp1', ...others],
        ...['--drive', disk('nvme'), '--device', 'nvme,drive=nvme,bus=nvme', '--netdev', 'user,id=net'],
        ...['--device', 'e1000,netdev=net,bus=e1000', '--drive', disk('usb')],
        ...['--device', 'qemu-xhci,bus=usb', '--device', 'usb-storage,drive=usb'],
      ],
      { deadlineMs: 110_000 },
    )
    expect(code, stdout + stderr).toBe(0)
    // The empty port at 3 got the first bus.
    expect(stdout).toContain('0000:00:03.0 0x1b36')
    expect(stdout).toContain('0000:00:04.0 0x1b36')
    expect(stdout).toContain('0000:02:00.0 0x1af4')
    expect(stdout).toContain('32 random bytes')
    expect(stdout).toMatch(/PCI-MSI.*virtio0-/)
    expect(stdout).toMatch(/PCI-MSI.*nvme0q1/)
    expect(stdout).toMatch(/PCI-MSI.*xhci_hcd/)
    // It has no messages: its pin arrives as the port's.
    expect(stdout).toMatch(/IO-APIC.*eth0/)
    for (const text of ['AT-nvme', 'AT-usb', 'an address of eth0']) expect(stdout).toContain(text)
  },
)

/** Sends a text to COM1 and resets the machine. */
function bootSector(text: string): Uint8Array {
  const sector = new Uint8Array(512)
  const send = [...text].flatMap((character) => [0xb0, character.charCodeAt(0), 0xee])
  sector.set([0xba, 0xf8, 0x03, ...send, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4])
  sector.set([0x55, 0xaa], 510)
  return sector
}

test.skipIf(linux === undefined).each(['virtio-blk-pci', 'nvme'])(
  `SeaBIOS boots from %s behind a root port${note}`,
  { timeout: 120_000 },
  async (model) => {
    const disk = (name: string): string => {
      const path = join(folder, name)
      writeFileSync(path, Buffer.concat([bootSector(`BOOTED ${name}\n`), new Uint8Array(1 << 20)]))
      return `if=none,format=raw,id=${name},file=${path}`
    }
    const { stdout } = await runRetrap(
      [
        ...['run', ...PORTS, '--vga', 'none', '--no-reboot', '--drive', disk('root'), '--drive', disk('below')],
        ...['--device', 'virtio-blk-pci,drive=root,bootindex=2'],
        ...['--device', `${model},drive=below,bus=rp1,bootindex=1`],
      ],
      { deadlineMs: 110_000 },
    )
    expect(stdout).toContain('BOOTED below')
    expect(stdout).not.toContain('BOOTED root')
  },
)
