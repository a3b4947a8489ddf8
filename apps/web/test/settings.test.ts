/** Settings in addresses. */
import { describe, expect, test } from 'vitest'
import * as S from '../src/settings.ts'

describe('settings', () => {
  test('are the end of an address and come back from it, without files', () => {
    const settings: S.Settings = {
      ...S.DEFAULTS,
      memory: '512',
      commandLine: 'console=ttyS0 quiet&x=1#y',
      network: 'relay',
      relay: 'wss://relay.example/?a=b',
      keep: true,
      cpu: 'core2',
      hypervisor: 'xen',
      tablet: true,
      sound: true,
      files: true,
      images: [
        { role: 'kernel', source: 'https://example.org/a b' },
        { role: 'disk', source: 'https://example.org/c', interface: 'virtio' },
        { role: 'disk', source: 'https://example.org/d' },
        { role: 'floppy', source: 'https://example.org/e' },
      ],
    }
    const hash = S.toHash({ ...settings, images: [...settings.images, { role: 'disk', source: new File([], 'x') }] })
    // Whether disks are kept is the user's to say, and not a link's.
    expect(S.fromHash(hash)).toEqual({ ...settings, keep: false })
    expect(S.fromHash(`${hash}&keep=yes`).keep).toBe(false)
    expect(S.toHash(S.DEFAULTS)).toBe('')
    expect(S.fromHash('')).toEqual(S.DEFAULTS)
  })

  test('that make no sense in an address are passed over', () => {
    expect(S.fromHash('#memory=-1&cpus=many&board=z80&vga=cga&network=toString&nonsense=1')).toEqual(S.DEFAULTS)
  })

  test('make a machine: drives in their order, and one kernel', () => {
    const images = [
      { role: 'kernel', source: 'one' },
      { role: 'disk', source: 'a' },
      { role: 'cdrom', source: 'b' },
      { role: 'floppy', source: 'c' },
      { role: 'kernel', source: 'two' },
    ] as const
    const settings: S.Settings = { ...S.DEFAULTS, images: images.reduce<S.Settings['images']>(S.withImage, []) }
    expect(S.machineOptions(settings)).toEqual({
      memoryBytes: 256 << 20,
      cpus: 1,
      board: 'pc',
      kernel: 'two',
      commandLine: 'console=ttyS0',
      drives: [
        { media: 'disk', source: 'a' },
        { media: 'cdrom', source: 'b' },
        { source: 'c', interface: 'floppy' },
      ],
    })
  })

  test('of an Arm board have its console, and no firmware', () => {
    expect(S.commandLineFor('virt', S.DEFAULTS)).toBe('console=ttyAMA0')
    expect(S.commandLineFor('q35', { ...S.DEFAULTS, board: 'virt', commandLine: 'console=ttyAMA0' })).toBe(
      'console=ttyS0',
    )
    expect(S.commandLineFor('virt', { ...S.DEFAULTS, commandLine: 'quiet' })).toBe('quiet')
    const settings: S.Settings = { ...S.DEFAULTS, board: 'virt', images: [{ role: 'kernel', source: 'Image' }] }
    expect(S.fromHash(S.toHash(settings))).toEqual(settings)
    expect(S.problemOf(settings)).toBeNull()
    expect(S.machineOptions(settings)).toMatchObject({ board: 'virt', kernel: 'Image' })
    expect(S.problemOf({ ...settings, images: [] })).toContain('Arm')
    const withFirmware = [...settings.images, { role: 'firmware', source: 'x' } as const]
    expect(S.problemOf({ ...settings, images: withFirmware })).toContain('without firmware')
    const floppy = { role: 'floppy', source: 'x' } as const
    expect(S.problemOf({ ...settings, images: [...settings.images, floppy] })).toContain('no floppy drive')
    expect(S.problemOf({ ...S.DEFAULTS, images: [floppy, floppy, floppy] })).toContain('two floppy drives')
  })

  test('keep disks by the names of their images, each by its own', () => {
    const file = new File([], 'mein Abbild.qcow2')
    const sources = ['https://x.org/a/b.img?c/d', 'https://y.org/b.img', file, '/', '../..']
    const images = [{ role: 'cdrom', source: 'a' }, ...sources.map((source) => ({ role: 'disk', source }))]
    const { drives } = S.machineOptions({ ...S.DEFAULTS, keep: true, images: images as S.Settings['images'] })
    expect(drives!.map(({ keep }) => keep)).toEqual([
      undefined,
      'b.img',
      'b.img-2',
      'mein-Abbild.qcow2',
      'disk',
      'disk-2',
    ])
  })

  test('keep disks whose names are in any script apart, and imports find them', () => {
    const names = ['日本.img', '中国.img', 'Gro\u0308ße_1.img', `${'日'.repeat(70)}.img`, `${'😀'.repeat(9)}`]
    const images = names.map((name) => ({ role: 'disk', source: new File([], name) }) as const)
    const keeps = S.machineOptions({ ...S.DEFAULTS, keep: true, images }).drives!.map(({ keep }) => keep)
    expect(keeps).toEqual(['日本.img', '中国.img', 'Größe-1.img', '日'.repeat(60), 'disk'])
    expect(keeps.every((keep) => keep === S.keptNameOf(keep!))).toBe(true)
  })

  test('make a network card, with a cable or without one', () => {
    const of = (part: Partial<S.Settings>): unknown => S.machineOptions({ ...S.DEFAULTS, ...part }).network
    expect([
      of({}),
      of({ network: 'none' }),
      of({ network: 'tabs' }),
      of({ network: 'relay', relay: 'ws://x' }),
      of({ network: 'wisp', relay: 'wisps://x' }),
    ]).toEqual([
      ...[undefined, { kind: 'none' }, { kind: 'tabs' }, { kind: 'relay', url: 'ws://x' }],
      { kind: 'wisp', url: 'wisps://x' },
    ])
    expect(S.problemOf({ ...S.DEFAULTS, network: 'relay', relay: 'wisp://x' })).toContain('wss://')
    expect(S.problemOf({ ...S.DEFAULTS, network: 'wisp', relay: 'wisp://x' })).not.toContain('relay')
    expect(S.problemOf({ ...S.DEFAULTS, network: 'relay', relay: 'http://x' })).toContain('wss://')
  })

  test.each([
    { images: [], problem: 'Choose a kernel, or firmware, first.' },
    { images: [{ role: 'initrd', source: 'x' }], problem: 'Choose a kernel, or firmware, first.' },
    { images: [{ role: 'cdrom', source: 'x' }], problem: expect.stringContaining('this site has none') as string },
    { images: [{ role: 'firmware', source: 'x' }], problem: null },
  ] as const)('$images lead to $problem', ({ images, problem }) => {
    expect(S.problemOf({ ...S.DEFAULTS, images }, null)).toEqual(problem)
  })

  describe('are started by the BIOS of the site', () => {
    const own = { firmware: 'bios.bin', vgaBios: 'vga.bin' }
    const of = (...images: S.Settings['images']): S.Settings => ({ ...S.DEFAULTS, images })
    const disk = { role: 'disk', source: 'x' } as const

    test.each(['disk', 'cdrom'] as const)('where a %s has none', (role) => {
      const settings = of({ role, source: 'x' })
      expect(S.problemOf(settings)).toBe('Looking for a BIOS …')
      expect(S.problemOf(settings, own)).toBeNull()
      expect(S.machineOptions(settings, own)).toMatchObject(own)
      expect(S.machineOptions(settings, null)).not.toHaveProperty('firmware')
    })

    test.each([
      ['a kernel', of(disk, { role: 'kernel', source: 'k' }), undefined, undefined],
      ['firmware of the user', of(disk, { role: 'firmware', source: 'f' }), 'f', undefined],
      ['a VGA BIOS of the user', of(disk, { role: 'vgaBios', source: 'v' }), 'bios.bin', 'v'],
      ['no graphics card', { ...of(disk), vga: 'none' as const }, 'bios.bin', undefined],
      ['an initial RAM disk alone', of({ role: 'initrd', source: 'x' }), undefined, undefined],
      ['an Arm board', { ...of(disk), board: 'virt' as const }, undefined, undefined],
    ])('and not in place of what is given: %s', (_what, settings, firmware, vgaBios) => {
      const { firmware: found, vgaBios: foundVga } = S.machineOptions(settings, own)
      expect([found, foundVga]).toEqual([firmware, vgaBios])
    })
  })
})

test('an address opens a recording of its own site at once, and of no other', () => {
  const chosen = { title: 'a b', options: { recording: 'recordings/a b' } }
  expect(S.openedBy('http://here:8064/#open=recordings%2Fa+b')).toEqual(chosen)
  expect(S.openingHash(chosen)).toBe('#open=recordings%2Fa+b')
  const run = { title: 'x.run', options: {}, cluster: 'x.run' }
  expect(S.openedBy(`http://here:8064/${S.openingHash(run)}`)).toEqual(run)
  expect(S.openedBy('http://here:8064/#lanes=https%3A%2F%2Felsewhere%2Fa')).toBe(null)
  expect(S.openedBy('http://here:8064/#open=https%3A%2F%2Felsewhere%2Fa')).toBe(null)
  expect(S.openedBy('http://here:8064/#recording=a')).toBe(null)
})
