/** Machines as the file of `retrap run machine.json`. The command line itself reads them in apps/retrap, test/web. */
import { expect, test } from 'vitest'
import { fromMachineJson, toMachineJson } from '../src/machine-json.ts'
import { DEFAULTS, machineOptions, type Settings } from '../src/settings.ts'

const BASE = 'https://site.example/page/'
const kernel = new File(['k'], 'bzImage')
const disk = new File(['d'], 'root.qcow2')
const iso = 'https://example.org/debian.iso'

const full: Settings = {
  memory: '512',
  cpus: '4',
  board: 'q35',
  vga: 'std',
  commandLine: 'console=ttyS0 root=/dev/vda1',
  cpu: 'core2,-sse4_1',
  hypervisor: 'xen',
  tablet: true,
  sound: true,
  files: false,
  network: 'relay',
  relay: 'wss://relay.example/?a=b,c',
  keep: false,
  images: [
    { role: 'kernel', source: kernel },
    { role: 'disk', source: disk, interface: 'virtio' },
    { role: 'cdrom', source: iso },
    { role: 'disk', source: 'https://example.org/b.img', interface: 'nvme' },
    { role: 'disk', source: 'https://example.org/c.img', interface: 'usb' },
    { role: 'floppy', source: 'https://example.org/d.img' },
  ],
}

test.each([
  ['of all options', full],
  ['of few', { ...DEFAULTS, images: [{ role: 'firmware', source: kernel }] } satisfies Settings],
  [
    'of an Arm board',
    { ...full, board: 'virt', cpu: '', tablet: false, network: 'tabs', relay: '' } satisfies Settings,
  ],
  ['with a cable that leads nowhere', { ...full, network: 'none', relay: '' } satisfies Settings],
  ['with the web', { ...full, network: 'fetch', relay: '' } satisfies Settings],
])('settings %s come back from it', (_, settings) => {
  expect(fromMachineJson(toMachineJson(settings, BASE), [disk, kernel])).toEqual({ settings, missing: [] })
})

test('files that were not given are named; addresses are whole', () => {
  const text = toMachineJson({ ...full, images: [...full.images, { role: 'initrd', source: 'a.img' }] }, BASE)
  expect(fromMachineJson(text, [disk]).missing).toEqual(['bzImage'])
  expect(JSON.parse(text)).toMatchObject({ initrd: 'https://site.example/page/a.img' })
})

test('an address of a link that is none is shown as it is', () => {
  const text = toMachineJson({ ...DEFAULTS, images: [{ role: 'kernel', source: 'http://[' }] }, BASE)
  expect(JSON.parse(text)).toMatchObject({ kernel: 'http://[' })
})

test('what people write by hand is read', () => {
  const text = JSON.stringify({
    $schema: './machine.schema.json',
    memory: '1GiB',
    cpus: '2',
    images: ['iso/debian.ISO', 'disks/root.qcow2'],
    drive: 'https://example.org/x.img',
    device: 'usb-tablet',
    nic: 'user',
  })
  const files = [disk, new File([], 'debian.ISO')]
  const { settings } = fromMachineJson(text, files)
  expect(machineOptions(settings)).toMatchObject({
    memoryBytes: 2 ** 30,
    cpus: 2,
    tablet: true,
    network: { kind: 'fetch' },
    drives: [
      { media: 'cdrom', source: files[1] },
      { media: 'disk', source: disk },
      { media: 'disk', source: 'https://example.org/x.img' },
    ],
  })
  expect(fromMachineJson('{}', []).settings).toEqual({ ...DEFAULTS, memory: '512' })
})

test.each([
  ['"user"', 'fetch'],
  ['"none"', 'off'],
  ['"hubport"', 'tabs'],
  ['{"kind": "hubport"}', 'tabs'],
  ['{"kind": "hubport", "hubid": 0}', 'tabs'],
  ['{"kind": "hubport", "hubid": 1}', 'none'],
])('the network card %s', (nic, network) => {
  expect(fromMachineJson(`{"nic": ${nic}}`, []).settings.network).toBe(network)
})

test.each([
  ['{', /^It is not JSON/],
  ['[]', /^It has no object/],
  ['{"gdb": "tcp::1"}', /^gdb: a machine in a page has no such option; it has memory, /],
  ['{"memory": "1.5K"}', /^memory: 1.5K is not a whole number/],
  ['{"memory": "much"}', /^memory: "much" is invalid; expected /],
  ['{"cpus": 0}', /^cpus: 0 is invalid/],
  ['{"machine": "virt"}', /^machine: a page has pc and q35/],
  ['{"machine": "q35", "arch": "arm64"}', /^machine: a page has virt/],
  ['{"vga": "ramfb"}', /^vga: a page has/],
  ['{"kernel": 1}', /^kernel: expected a file's name/],
  ['{"drive": {"file": "a", "index": 1}}', /^drive\[0\]\.index: /],
  ['{"drive": {"file": "a", "if": "sd"}}', /^drive\[0\]\.if: /],
  ['{"drive": {"file": "a", "if": "none", "id": "x"}}', /^drive\[0\]: no device/],
  ['{"device": ["pvpanic"]}', /^device\[0\]: a page has qemu-xhci, usb-tablet/],
  ['{"nic": ["user", "user"]}', /^nic: .* one network card/],
  ['{"nic": {"kind": "stream"}}', /^nic: a page has the kinds/],
])('%s is refused with what is wrong', (text, message) => {
  expect(() => fromMachineJson(text, [])).toThrow(message)
})
