import { defineDevice } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { createPc, MachineError, type PcOptions } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

/** A flash of zeros. */
const flashOf = (bytes: number): unknown => ({
  medium: { properties: { bytes, blockBytes: 512, maximumBytes: 4096, readOnly: true }, read: async () => {} },
})
const kernel = multibootKernel((asm) => asm.hlt())
const SMALL = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, kernel }

/** What a JavaScript user may write. */
describe('an option of the wrong kind is refused, with its name, its value and what was expected', () => {
  test.each<[string, unknown]>([
    ["kernel '/boot/vmlinuz': expected the image's bytes, a Uint8Array", { kernel: '/boot/vmlinuz' }],
    ['kernel an object: expected', { kernel: new ArrayBuffer(8) }],
    ['initrd 5: expected', { initrd: 5 }],
    ['firmware null: expected', { kernel: undefined, firmware: null }],
    ['modules an object: expected an array of', { modules: {} }],
    ['modules an array of 1: expected an array of', { modules: ['a file'] }],
    ['optionRoms an array of 1: expected an array of', { optionRoms: [{ bytes: new Uint8Array(1) }] }],
    ['commandLine an array of 2: expected text', { commandLine: ['console=ttyS0', 'quiet'] }],
    ["hypervisor 'kvm': expected 'none' or 'xen'", { hypervisor: 'kvm' }],
    ['serialPorts 0: expected a whole number from 1 to 4', { serialPorts: 0 }],
    ['serialPorts 5: expected a whole number from 1 to 4', { serialPorts: 5 }],
    ['devices an array of 1: expected an array of device models', { devices: [{ name: 'x' }] }],
    ["devicePlacement 'elsewhere': expected 'inline', 'deferred' or a function", { devicePlacement: 'elsewhere' }],
    ['deviceServers an array of 1: expected', { deviceServers: [null] }],
    ["devicePolicy 'ignore': expected 'crash' or 'detach'", { devicePolicy: 'ignore' }],
    ['deviceDeadlineMs 0: expected', { deviceDeadlineMs: 0 }],
    ['deviceDeadlineMs NaN: expected', { deviceDeadlineMs: Number.NaN }],
    ["trace 'ioreq': expected a function", { trace: 'ioreq' }],
    ["clock 'wall': expected 'real' or 'deterministic'", { clock: 'wall' }],
    ["sharedMemory 'yes': expected true or false", { sharedMemory: 'yes' }],
    ['epochSeconds 1.5: expected a whole number', { epochSeconds: 1.5 }],
    ['cpu 7: expected a name or a CpuModel', { cpu: 7 }],
    ["cpu 'core3': no CPU model 'core3': expected max, everything, pentium, core2, opteron", { cpu: 'core3' }],
    ["cpu 'core2,+avx2': core2,+avx2: avx2 needs xsave, avx", { cpu: 'core2,+avx2' }],
    ['cpu an object: name undefined: expected text', { cpu: {} }],
    ['2 CPUs of pentium,-apic: without apic expected 1', { cpu: 'pentium,-apic', cpus: 2 }],
    ['vapic 1: expected true, false or { rom: Uint8Array }', { vapic: 1 }],
    ["keyboard 'de': expected a Keyboard of @retrap/display", { keyboard: 'de' }],
    ['mouse an object: expected a Mouse of @retrap/display', { mouse: {} }],
    ['deviceMemoryBytes -1: expected a whole number from 0', { deviceMemoryBytes: -1 }],
    [
      "networkCards an array of 1: expected an array of { model: 'e1000'",
      { networkCards: [{ model: 'e1000', network: { connect() {} }, rom: 'pxe.rom' }] },
    ],
    [
      'virtio an array of 1: expected an array of',
      { virtio: [{ kind: 'net', network: { connect() {} }, rom: 'pxe.rom' }] },
    ],
    ["'4' CPUs: expected", { cpus: '4' }],
    ['flash an array of 1: expected an array of { medium', { flash: [new Uint8Array(4096)] }],
    [
      'bootIndex 0: expected 1 or more',
      { flash: [flashOf(4096)], drives: [{ medium: null, media: 'cdrom', bootIndex: 0 }] },
    ],
    ['both a firmware image and flash', { kernel: undefined, firmware: new Uint8Array(4096), flash: [flashOf(4096)] }],
    ['flash: 3 of 12288 bytes together', { kernel: undefined, flash: [1, 2, 3].map(() => flashOf(4096)) }],
    ['contents of 512 bytes: expected whole blocks', { kernel: undefined, flash: [flashOf(512)] }],
  ])('%s', async (message, wrong) => {
    const making = createPc({ ...SMALL, ...(wrong as Partial<PcOptions>) })
    await expect(making).rejects.toBeInstanceOf(MachineError)
    await expect(making).rejects.toThrow(message)
  })

  test.each([undefined, null, 'vmlinuz'])('options %o', async (options) => {
    await expect(createPc(options as unknown as PcOptions)).rejects.toMatchObject({ code: 'ERR_OPTION' })
  })

  test.each([undefined, '512M', 4n])('memoryBytes %s', async (memoryBytes) => {
    const making = createPc({ ...SMALL, memoryBytes: memoryBytes as unknown as number })
    await expect(making).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_/) })
  })
})

test.each([
  { deviceMemoryBytes: undefined, fits: false },
  { deviceMemoryBytes: 8 << 20, fits: true },
])(
  'a model of 8 MiB of memory with deviceMemoryBytes $deviceMemoryBytes: $fits',
  async ({ deviceMemoryBytes, fits }) => {
    const screen = defineDevice({
      name: 'screen',
      stateless: true,
      attach: (context) => void context.mapMemory(0xe000_0000, context.ownMemory({ name: 'vram', bytes: 8 << 20 })),
    })
    const making = createPc({ ...SMALL, deviceMemoryBytes, devices: [screen] })
    if (fits) (await making).close()
    else await expect(making).rejects.toMatchObject({ code: 'ERR_NO_SPACE' })
  },
)
