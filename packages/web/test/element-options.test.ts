/** The attributes of `<retrap-machine>`, as options of a machine. */
import { expect, test } from 'vitest'
import { optionsOf } from '../src/element-options.ts'
import type { MachineOptions } from '../src/options.ts'

const options = (attributes: Readonly<Record<string, string>>): MachineOptions =>
  optionsOf((name) => attributes[name] ?? null)

/** Options that only a script can give. */
type Scripted = 'onProgress' | 'signal' | 'createWorker'

test('without attributes there are no options', () => expect(options({})).toEqual({}))

test('there is an attribute for each option that is no function', () => {
  const all: Required<Omit<MachineOptions, Scripted>> = {
    memoryBytes: 512 << 20,
    cpus: 2,
    smp: 'turns',
    cpu: 'core2,-sse4_1',
    board: 'q35',
    kernel: 'vmlinuz',
    initrd: 'initrd.img',
    commandLine: 'quiet',
    firmware: 'bios.bin',
    drives: [
      { source: 'disk.img', interface: 'virtio', keep: 'mine' },
      { source: 'cd.iso', media: 'cdrom', interface: 'usb' },
      { source: 'floppy.img', interface: 'floppy' },
    ],
    vga: 'std',
    vgaBios: 'vga.bin',
    tablet: true,
    sound: true,
    files: true,
    record: true,
    network: { kind: 'tabs', name: 'lab', card: 'e1000', macAddress: '52:54:00:00:00:01' },
    layout: 'de',
    hypervisor: 'xen',
    snapshot: 'a.snapshot',
    recording: 'a.recording',
    keepFetched: false,
    jit: false,
    transport: 'messages',
  }
  const attributes = {
    ...{ memory: '512M', cpus: '2', cpu: 'core2,-sse4_1', board: 'q35', kernel: 'vmlinuz', initrd: 'initrd.img' },
    ...{ 'command-line': 'quiet', firmware: 'bios.bin', disk: 'disk.img', 'disk-interface': 'virtio', keep: 'mine' },
    ...{
      cdrom: 'cd.iso',
      'cdrom-interface': 'usb',
      floppy: 'floppy.img',
      vga: 'std',
      'vga-bios': 'vga.bin',
      tablet: '',
      sound: '',
      files: '',
      record: '',
    },
    ...{ network: 'tabs', 'network-name': 'lab', 'network-card': 'e1000', 'mac-address': '52:54:00:00:00:01' },
    ...{
      layout: 'de',
      smp: 'turns',
      hypervisor: 'xen',
      snapshot: 'a.snapshot',
      recording: 'a.recording',
      'keep-fetched': 'off',
      jit: 'off',
    },
    ...{ transport: 'messages' },
  }
  expect(options(attributes)).toEqual(all)
  expect(options({ jit: 'on', 'keep-fetched': 'on' })).toEqual({ jit: true, keepFetched: true })
  expect(options({ network: 'relay', 'network-url': 'wss://relay.example/' })).toEqual({
    network: { kind: 'relay', url: 'wss://relay.example/' },
  })
  expect(options({ network: 'wisp', 'network-url': 'wisps://relay.example/' })).toEqual({
    network: { kind: 'wisp', url: 'wisps://relay.example/' },
  })
})

test.each([
  [{ memory: 'lots' }, "memory 'lots': expected a size such as 512M or 1G"],
  [{ board: 'PC' }, "board 'PC': expected 'pc', 'q35', 'virt'"],
  [{ jit: 'no' }, "jit 'no': expected 'on', 'off'"],
  [{ disk: 'a', 'disk-interface': 'floppy' }, /^disk-interface 'floppy': expected 'ide'/],
  [{ network: 'wsproxy' }, /^network 'wsproxy': expected 'fetch'/],
])('%j is refused', (attributes, message) => {
  expect(() => options(attributes)).toThrow(
    expect.objectContaining({
      code: 'ERR_OPTION',
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    }),
  )
})
