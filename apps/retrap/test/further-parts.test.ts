/** Further small parts of the command line, each by itself: no machine is made. */
import { chmodSync, linkSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MachineExit } from '@retrap/machine'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type CliError, troubleWith } from '@retrap/linux-guest/errors'
import { Properties, parseDevice } from '../src/options/values.ts'
import { showFetchProgress } from '../src/host/files/fetch-progress.ts'
import { checkTarget, readInput, refuseSpecial } from '@retrap/linux-guest/host/files'
import { replacementOf } from '../src/commands/qemu/translate.ts'
import { parseGdb } from '../src/machine/gdb/session-gdb.ts'
import { examineImage, isNamedQcow2 } from '../src/machine/drives/image-file.ts'
import { secretOf } from '../src/machine/migration/socket-channel.ts'
import { describePci } from '../src/machine/monitor/pci-listing.ts'
import { cardOf, CardRoms, connectCards } from '../src/machine/devices/network-cards.ts'
import { OutputWatch } from '../src/host/output-watch.ts'
import { exitCodeOf, linesOfEnd } from '../src/machine/session/session-end.ts'

const folder = temporaryFolder('parts')

/** A file with these bytes. */
function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

describe('outputs whose readers stall', () => {
  afterEach(() => void vi.useRealTimers())
  /** Whether it is over within so many milliseconds of the host's. */
  const isOver = (work: Promise<unknown>, ms: number): Promise<boolean> =>
    Promise.race([
      work.then(() => true),
      new Promise<boolean>((resolve) => {
        setTimeout(resolve, ms, false)
      }),
    ])

  test('the machine is told while more than 1 MiB waits in all of them', () => {
    vi.useFakeTimers()
    const outputs = [{ writableLength: 1 << 19 }, { writableLength: 1 << 19 }, {}]
    let full = 0
    const watch = new OutputWatch(outputs, () => full++)
    expect(watch.pendingBytes).toBe(1 << 20)
    vi.advanceTimersByTime(100)
    expect(full).toBe(0)
    outputs[0]!.writableLength!++
    vi.advanceTimersByTime(100)
    expect(full).toBeGreaterThan(1)
    watch.stop()
    const before = full
    vi.advanceTimersByTime(100)
    expect(full).toBe(before)
  })

  test('they are looked at ten times a second while nothing waits', () => {
    vi.useFakeTimers()
    let looks = 0
    const output = {
      get writableLength(): number {
        looks++
        return 0
      },
    }
    const watch = new OutputWatch([output], () => undefined)
    vi.advanceTimersByTime(1000)
    expect(looks).toBe(10)
    watch.stop()
  })

  test('it goes on when 64 KiB are left, when it is to end, or when it has waited long enough', async () => {
    const output = { writableLength: (1 << 16) + 1 }
    const watch = new OutputWatch([output], () => undefined)
    const abort = new AbortController()
    const first = watch.drained(abort.signal, 60_000)
    expect(await isOver(first, 60)).toBe(false)
    output.writableLength--
    expect(await isOver(first, 5000)).toBe(true)
    output.writableLength++
    expect(await isOver(watch.drained(abort.signal, 30), 5000)).toBe(true)
    const last = watch.drained(abort.signal, 60_000)
    abort.abort()
    expect(await isOver(last, 5000)).toBe(true)
    watch.stop()
  })

  test('the end waits for the last byte of some of them, or gives up', async () => {
    const [output, other] = [{ writableLength: 1 }, { writableLength: 9 }]
    const watch = new OutputWatch([output, other], () => undefined)
    const abort = new AbortController()
    const first = watch.empty([output], abort.signal)
    expect(await isOver(first, 60)).toBe(false)
    output.writableLength = 0
    expect(await first).toBe(0)
    const last = watch.empty([output, other], abort.signal)
    expect(await isOver(last, 30)).toBe(false)
    abort.abort()
    expect(await last).toBe(9)
    watch.stop()
  })
})

describe('network cards', () => {
  const of = (text: string): ReturnType<typeof cardOf> => {
    const argument = parseDevice(text)
    return cardOf(argument, new Properties(argument))
  }

  test.each([
    ['e1000,netdev=n', { netdev: 'n' }],
    ['e1000,netdev=n,bootindex=0', { netdev: 'n', bootIndex: 0 }],
    ['e1000,netdev=n,bootindex=0x7fffffff', { netdev: 'n', bootIndex: 0x7fff_ffff }],
    ['e1000,netdev=n,romfile=', { netdev: 'n', romFile: '' }],
    ['e1000,netdev=n,romfile=a.rom', { netdev: 'n', romFile: 'a.rom' }],
    [
      'e1000,netdev=n,mac=52:54:00:12:34:5f',
      { netdev: 'n', macAddress: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x5f) },
    ],
    ['e1000,netdev=n,mac=2-0-0-a-B-c', { netdev: 'n', macAddress: Uint8Array.of(2, 0, 0, 10, 11, 12) }],
  ])('%s', (text, card) => expect(of(text)).toEqual(card))

  test.each<readonly [string, string]>([
    ['e1000', '--device e1000 names no network; write netdev=ID'],
    ['e1000,netdev=n,bootindex=0x80000000', 'bootindex=0x80000000 is not a number'],
    ...['52:54:00:12:34', '52:54:00:12:34:56:78', '52:54:00:12:34:5g', '52:54:00:12:34:', '52:54:00:12:34:567', ''].map(
      (mac) => [`e1000,netdev=n,mac=${mac}`, `mac=${mac} is not an address; write it as 52:54:00:12:34:56`] as const,
    ),
  ])('%s is refused', (text, why) => expect(() => of(text)).toThrow(why))

  test('a card has the boot program that it names, and none where it names none or nothing boots', async () => {
    const rom = file('card.rom', 'rom')
    const cards = [
      { netdev: 'a', romFile: rom },
      { netdev: 'b', romFile: '', bootIndex: 1 },
      { netdev: 'c' },
      { netdev: 'd', bootIndex: 1, slot: 7 },
    ]
    const roms = await CardRoms.open(
      cards.map((card) => ['e1000', card] as const),
      { firmware: 'none', wanted: true },
    )
    const bytes = new TextEncoder().encode('rom')
    expect(cards.map((card) => roms.byCard.get(card))).toEqual([bytes, undefined, undefined, undefined])
    const networks: string[] = []
    const plug = (id: string): never => {
      networks.push(id)
      return { id } as never
    }
    expect(connectCards(cards, plug, roms)).toEqual([
      { model: 'e1000', network: { id: 'a' }, rom: bytes },
      { model: 'e1000', network: { id: 'b' }, bootIndex: 1 },
      { model: 'e1000', network: { id: 'c' } },
      { model: 'e1000', network: { id: 'd' }, bootIndex: 1, slot: 7 },
    ])
    expect(networks).toEqual(['a', 'b', 'c', 'd'])
    const unused = await CardRoms.open([['virtio', { netdev: 'e' }]], { firmware: 'bios', wanted: false })
    expect(unused.byCard.get(cards[2]!)).toBeUndefined()
    await expect(
      CardRoms.open([['e1000', { netdev: 'n', romFile: join(folder, 'no') }]], { firmware: 'own', wanted: false }),
    ).rejects.toThrow(`romfile=${join(folder, 'no')}: there is no such file`)
  })
})

describe('the end of a run', () => {
  const crash = { message: 'why' }

  test.each<[MachineExit, number]>([
    [{ reason: 'power-off' }, 0],
    [{ reason: 'suspend' }, 0],
    [{ reason: 'stopped' }, 0],
    [{ reason: 'reset' }, 0],
    [{ reason: 'triple-fault', detail: crash }, 86],
    [{ reason: 'guest-crash', detail: crash }, 88],
    [{ reason: 'timeout' }, 124],
    [{ reason: 'out-of-memory', detail: crash }, 70],
    [{ reason: 'device-failure', detail: crash }, 70],
    [{ reason: 'internal-error', detail: crash }, 70],
    [{ reason: 'debug-exit', code: 33 }, 33],
    [{ reason: 'debug-exit', code: 0 }, 0],
    [{ reason: 'debug-exit', code: 0x1fe }, 0xfe],
    // isa-debug-exit of 0.
    [{ reason: 'debug-exit' }, 1],
  ])('%j: %d', (exit, code) => expect(exitCodeOf(exit)).toBe(code))

  const lines = (exit: MachineExit, ending?: Parameters<typeof linesOfEnd>[1]): string =>
    linesOfEnd(exit, ending, { timeoutMs: 1500, disassemble: () => '' }).join('')

  test.each<[MachineExit, string]>([
    [{ reason: 'power-off' }, ''],
    [{ reason: 'debug-exit', code: 0 }, ''],
    [{ reason: 'debug-exit', code: 33 }, ''],
    [{ reason: 'debug-exit', code: 86 }, 'retrap: a device model ended the run with exit code 86\n'],
    [
      { reason: 'debug-exit', code: 0x156 },
      'retrap: a device model ended the run with exit code 86, the low 8 bits of 342\n',
    ],
    [{ reason: 'timeout' }, 'retrap: ended by --timeout after 1.5 s\n'],
  ])('%j says %j', (exit, text) => expect(lines(exit)).toBe(text))

  test.each([
    ['triple-fault', 'triple fault'],
    ['guest-crash', 'guest crash'],
    ['out-of-memory', 'no memory'],
    ['device-failure', 'the device failed'],
    ['internal-error', 'internal error'],
  ] as const)('%s says why', (reason, title) =>
    expect(lines({ reason, detail: crash })).toMatch(new RegExp(`${title}.*why`, 's')),
  )

  test('what ends the session comes first', () =>
    expect(lines({ reason: 'timeout' }, { code: 130, message: 'interrupted' })).toBe(
      'retrap: interrupted\nretrap: ended by --timeout after 1.5 s\n',
    ))
})

describe('files that the user names', () => {
  test('are read, or it is said why not', async () => {
    expect(await readInput('--x', file('a', 'abc'))).toEqual(new TextEncoder().encode('abc'))
    expect((await readInput('--x', file('a', 'abc'))).constructor).toBe(Uint8Array)
    await expect(readInput('--x', join(folder, 'no'))).rejects.toThrow('--x: there is no such file')
    await expect(readInput('--x', folder)).rejects.toThrow('--x: it is a directory')
  })

  test.skipIf(process.platform === 'win32')('are no devices, which may never end', async () => {
    await expect(readInput('--x', '/dev/zero')).rejects.toThrow('--x: it is a device, not a file')
    await expect(refuseSpecial('/dev/zero')).rejects.toThrow('it is not a regular file')
    await expect(examineImage('/dev/zero')).rejects.toThrow('/dev/zero: it is not a regular file')
  })

  test('may take the place of files, and of nothing', async () => {
    for (const path of [file('old', 'x'), folder, join(folder, 'no')]) expect(await refuseSpecial(path)).toBeUndefined()
  })

  test('are looked at before a run that ends with them', async () => {
    for (const path of [file('old', 'x'), join(folder, 'new')]) expect(await checkTarget('--x', path)).toBeUndefined()
    const none = join(folder, 'no')
    const trouble = (path: string): Promise<unknown> =>
      checkTarget('--x', path).catch(({ code, message }: CliError) => [code, message])
    expect(await trouble(folder)).toEqual(['ERR_INPUT', `--x: ${folder}: it is a directory`])
    expect(await trouble(join(none, 'a'))).toEqual(['ERR_INPUT', `--x: ${none}/a: there is no folder ${none}`])
    const below = join(file('old', 'x'), 'a')
    expect(await trouble(below)).toEqual(['ERR_INPUT', `--x: ${below}: there is no folder ${file('old', 'x')}`])
  })

  // Root may write to any folder.
  test.skipIf(process.platform === 'win32' || process.getuid!() === 0)(
    'need a folder that may be written',
    async () => {
      const shut = mkdtempSync(join(folder, 'shut-'))
      chmodSync(shut, 0o555)
      await expect(checkTarget('--x', join(shut, 'a'))).rejects.toThrow(`nothing may be written to the folder ${shut}`)
      chmodSync(shut, 0o755)
    },
  )

  test.skipIf(process.platform === 'win32')('are no devices that a file would replace', async () => {
    await expect(checkTarget('--x', '/dev/null')).rejects.toThrow('--x: /dev/null: it is not a regular file')
  })

  test.each([
    [Object.assign(new Error('x'), { code: 'ENOENT' }), 'there is no such file'],
    [Object.assign(new Error('x'), { code: 'EIO' }), 'x'],
    [new Error('x'), 'x'],
    [undefined, 'undefined'],
  ])('%s: %s', (error, text) => expect(troubleWith(error)).toBe(text))

  /** A file with a text at an offset, and this many bytes. */
  const at = (name: string, bytes: number, ...texts: readonly (readonly [at: number, text: string])[]): string => {
    const content = Buffer.alloc(bytes)
    for (const [offset, text] of texts) content.write(text, offset, 'latin1')
    return file(name, content)
  }
  const plain = { hasIso: false, format: null, kernel: null }

  test.each([
    // Signatures of the formats' specifications.
    { name: 'raw', texts: [], is: plain },
    { name: 'qcow2', texts: [[0, 'QFI\xfb']], is: { ...plain, format: 'qcow2' } },
    { name: 'vmdk', texts: [[0, 'KDMV']], is: { ...plain, format: 'VMDK' } },
    { name: 'vhdx', texts: [[0, 'vhdxfile']], is: { ...plain, format: 'VHDX' } },
    { name: 'vdi', texts: [[0x40, '\x7f\x10\xda\xbe']], is: { ...plain, format: 'VDI' } },
    { name: 'elsewhere', texts: [[1, 'QFI\xfb']], is: plain },
    { name: 'elf', texts: [[0, '\x7fELF']], is: { ...plain, kernel: 'an ELF file' } },
    // The header of the boot protocol: "HdrS" at 202H.
    { name: 'linux', texts: [[0x202, 'HdrS']], is: { ...plain, kernel: 'a Linux kernel' } },
    // The volume descriptors begin at sector 16 of 2048 bytes, and have their type before "CD001".
    { name: 'iso', texts: [[0x8001, 'CD001']], is: { ...plain, hasIso: true } },
    { name: 'no iso', texts: [[0x8000, 'CD001']], is: plain },
  ] as const)('$name', async ({ name, texts, is }) => {
    expect(await examineImage(at(name, 0x8006, ...texts))).toMatchObject(is)
  })

  test('an image is the same by each of its names', async () => {
    const [path, link] = [at('one', 512), join(folder, 'other')]
    linkSync(path, link)
    const [first, second, third] = await Promise.all([
      examineImage(path),
      examineImage(link),
      examineImage(at('two', 512)),
    ])
    expect(second.identity).toBe(first.identity)
    expect(third.identity).not.toBe(first.identity)
    // A short file has nothing at the places of signatures.
    expect(first).toMatchObject(plain)
  })

  test.each([
    ['no', 'there is no such file'],
    ['directory', 'it is a directory'],
    ['empty', 'it is empty; make an image with a size: truncate -s 1G IMAGE'],
  ])('%s: %s', async (name, why) => {
    if (name === 'directory') mkdirSync(join(folder, name))
    if (name === 'empty') file(name, '')
    await expect(examineImage(join(folder, name))).rejects.toMatchObject({
      code: 'ERR_INPUT',
      message: `${join(folder, name)}: ${why}`,
    })
  })

  test.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('that may not be read', async () => {
    const path = file('secret', 'x')
    chmodSync(path, 0)
    await expect(examineImage(path)).rejects.toThrow(`${path}: it may not be read`)
  })

  test.each([
    ['a.qcow2', true],
    ['a.QCOW', true],
    ['a.qcow2.img', false],
    // A file's name, although it could be a URL.
    ['disk:a?.qcow2', true],
    ['aqcow2', false],
    ['https://host/a.qcow2?x=1', true],
    ['https://host/a?x=.qcow2', false],
  ])('%s is named as a qcow2 image: %s', (name, is) => expect(isNamedQcow2(name)).toBe(is))
})

describe('the secret of a migration', () => {
  const tcp = (secretFile: string) => ({ kind: 'tcp', host: 'h', port: 1, secretFile }) as const

  test('has 16 bytes at least', () => {
    const enough = file('enough', 'x'.repeat(16))
    expect(secretOf(tcp(enough))?.toString()).toBe('x'.repeat(16))
    const few = file('few', 'x'.repeat(15))
    expect(() => secretOf(tcp(few))).toThrow(
      `${few}: 15 bytes are too few for a secret; make one: head -c 32 /dev/urandom > ${few}`,
    )
    expect(() => secretOf(tcp(join(folder, 'no')))).toThrow('there is no such file')
    expect(secretOf({ kind: 'unix', path: 'p' })).toBe(null)
  })
})

describe('--gdb', () => {
  const loopback = { host: '127.0.0.1', wait: false }
  test.each([
    ['tcp:1234', { ...loopback, port: 1234 }],
    ['tcp::0', { ...loopback, port: 0 }],
    ['tcp:65535', { ...loopback, port: 65_535 }],
    ['tcp:0x4d2', { ...loopback, port: 1234 }],
    ['tcp:host:1234,wait', { host: 'host', port: 1234, wait: true }],
    ['tcp:[::1]:1234', { host: '::1', port: 1234, wait: false }],
    ['tcp:1234,arch=i386', { ...loopback, port: 1234, architecture: 'i386' }],
    ['tcp:1234,arch=x86-64,wait', { ...loopback, port: 1234, wait: true, architecture: 'x86-64' }],
  ])('%s', (text, option) => expect(parseGdb(text)).toEqual(option))

  test.each([
    ['tcp:65536', 'expected a TCP port, as in tcp:127.0.0.1:1234,wait'],
    ['tcp:', 'expected a TCP port'],
    ['1234', 'expected a TCP port'],
    ['tcp:a', 'expected a TCP port'],
    ['tcp:1,wit', "--gdb has no 'wit'; it has wait, arch=x86-64, arch=i386; did you mean 'wait'?"],
  ])('%s is refused', (text, why) => expect(() => parseGdb(text)).toThrow(why))
})

test('options of QEMU’s have replacements, with one dash or two', () => {
  expect(replacementOf('-smp')).toBe("write --cpus 2; retrap qemu takes whole lines of QEMU's")
  expect(replacementOf('--smp')).toBe(replacementOf('-smp'))
  for (const unknown of ['smp', '---smp', '-constructor', '--toString', ''])
    expect(replacementOf(unknown)).toBeUndefined()
})

describe('a fetch without a terminal', () => {
  let text = ''
  beforeAll(
    () => void vi.spyOn(process.stderr, 'write').mockImplementation((piece) => Boolean((text += String(piece)))),
  )
  afterAll(() => void vi.restoreAllMocks())

  test('is a line for each thing that is fetched', () => {
    const shown = showFetchProgress()
    expect(text).toBe('')
    for (const [fraction, what] of [
      [0, 'a'],
      [0.5, 'a'],
      [0, 'b'],
      [1, 'b'],
    ] as const)
      shown.onProgress(fraction, what)
    shown.stop('done')
    expect(text).toBe('retrap: fetching a\nretrap: fetching b\n')
  })
})

describe('info pci', () => {
  /** Configuration space of functions by their numbers, with little-endian words at offsets. */
  type Space = Readonly<Record<number, Readonly<Record<number, number>>>>
  const list = (space: Space): string => {
    const bytes = new Map(
      Object.entries(space).map(([bdf, words]) => {
        const view = new DataView(new ArrayBuffer(64))
        for (const [at, word] of Object.entries(words)) view.setUint32(Number(at), word, true)
        return [Number(bdf), view]
      }),
    )
    return describePci(
      {
        ownerAt: (bdf) => (bytes.has(bdf) ? `model ${bdf}` : undefined),
        read(bdf, register, size) {
          const view = bytes.get(bdf)!
          if (size === 1) return view.getUint8(register)
          if (size === 2) return view.getUint16(register, true)
          // Words of 32 bits may have a sign.
          if (size === 4) return view.getInt32(register, true)
          throw new Error(`a read of ${size} bytes`)
        },
      },
      (model) => model.replace('model', 'name'),
    )
  }

  test('each function with its identifiers, interrupt and BARs', () => {
    expect(
      list({
        0: { 0x00: 0x1237_8086, 0x08: 0x0600_0002 },
        // Bus 0, device 3, function 1: an Ethernet controller.
        0x19: {
          0x00: 0x100e_8086,
          0x08: 0x0200_0003,
          // 32 bits, prefetchable 32 bits, ports, prefetchable 64 bits, none.
          0x10: 0xfebc_0000,
          0x14: 0xe000_0008,
          0x18: 0x0000_c041,
          0x1c: 0x0000_000c,
          0x20: 0x0000_0080,
          0x24: 0,
          0x2c: 0x1100_1af4,
          0x3c: 0xff0a_020b,
        },
      }),
    ).toBe(
      [
        '  Bus  0, device   0, function 0:',
        '    Host bridge: PCI device 8086:1237',
        '      id "name 0"',
        '  Bus  0, device   3, function 1:',
        '    Ethernet controller: PCI device 8086:100e',
        '      PCI subsystem 1af4:1100',
        '      IRQ 11, pin B',
        '      BAR0: 32 bit memory at 0xfebc0000',
        '      BAR1: 32 bit prefetchable memory at 0xe0000000',
        '      BAR2: I/O at 0xc040',
        '      BAR3: 64 bit prefetchable memory at 0x0000008000000000',
        '      id "name 25"',
        '',
      ].join('\n'),
    )
  })

  // PCI Code and ID Assignment Specification 1.11, 1, "Class Codes".
  test.each([
    [0x0100, 'SCSI controller'],
    [0x0101, 'IDE controller'],
    [0x0106, 'SATA controller'],
    [0x0108, 'NVMe controller'],
    [0x0180, 'Mass storage controller'],
    [0x0300, 'VGA controller'],
    [0x0380, 'Display controller'],
    [0x0401, 'Audio controller'],
    [0x0601, 'ISA bridge'],
    [0x0680, 'Bridge'],
    [0x0780, 'Communication controller'],
    [0x0900, 'Keyboard'],
    [0x0902, 'Mouse'],
    [0x0980, 'Input controller'],
    [0x0c03, 'USB controller'],
    [0x0c05, 'SMBus'],
  ])('class %i is called %s', (kind, name) =>
    expect(list({ 8: { 0x00: 0x0001_0002, 0x08: kind * 0x1_0000 } })).toContain(`    ${name}: PCI device 0002:0001\n`),
  )

  test('a bridge has buses and two BARs, and a class that is unknown its number', () => {
    expect(
      list({
        // Header type 1, with several functions.
        0x10: {
          0x00: 0x000c_1b36,
          0x08: 0x0604_0000,
          0x0c: 0x0081_0000,
          0x10: 0xfea0_0004,
          0x14: 0x0000_0001,
          0x18: 0x0002_0100,
          0x2c: 0x1234_5678,
          0x3c: 0x0000_0100,
        },
        0xffff: { 0x00: 0x0001_0002, 0x08: 0x0b40_2001, 0x10: 0x0000_0001, 0x24: 0xd000_0004 },
      }),
    ).toBe(
      [
        '  Bus  0, device   2, function 0:',
        '    PCI bridge: PCI device 1b36:000c',
        '      IRQ 0, pin A',
        '      BUS 0, secondary bus 1, subordinate bus 2',
        '      BAR0: 64 bit memory at 0x00000001fea00000',
        '      id "name 16"',
        '  Bus 255, device  31, function 7:',
        '    Class 0b4020: PCI device 0002:0001',
        // The last BAR has no other one for its upper half.
        '      BAR5: 32 bit memory at 0xd0000000',
        '      id "name 65535"',
        '',
      ].join('\n'),
    )
  })
})
