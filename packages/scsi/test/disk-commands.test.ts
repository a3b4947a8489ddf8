/**
 * What each command of a disk means, by its bytes: SPC-4 and SBC-3, the sections of the commands. Numbers in commands are
 * distinct in each byte, so that a field read elsewhere gives another outcome.
 */
import { TestDisk } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { MOST_TRANSFER_BYTES, ScsiDisk, type ScsiDiskOptions, type ScsiOutcome, SENSE } from '../src/index.ts'

/** As large as numbers are exact: 2^43 blocks. */
const HUGE = 2 ** 52
const GOOD = { kind: 'good' }
const failed = (name: keyof typeof SENSE): object => ({ kind: 'failed', sense: SENSE[name] })
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

function disk(bytes: number, given: object = {}, options: Partial<ScsiDiskOptions> = {}): ScsiDisk {
  const unit = new ScsiDisk({ medium: new TestDisk(512, { bytes, ...given }), maximumBytes: 0xffff_ffff, ...options })
  unit.execute(Uint8Array.of(0))
  return unit
}

const run = (hex: string, unit = disk(HUGE), data?: Uint8Array): ScsiOutcome => unit.execute(bytesOf(hex), data)

describe('transfers', () => {
  test.each<[string, string, object]>([
    ['READ(6)', '08 12 34 56 78 00', { kind: 'blocks', first: 0x12_3456, count: 0x78 }],
    ['READ(6) of 256 blocks', '08 1f ff ff 00 00', { kind: 'blocks', first: 0x1f_ffff, count: 256 }],
    ['WRITE(6)', '0a 12 34 56 78 00', { kind: 'write', first: 0x12_3456, count: 0x78, durable: false }],
    ['READ(10)', '28 18 12 34 56 78 00 9a bc 00', { kind: 'blocks', first: 0x1234_5678, count: 0x9abc }],
    [
      'WRITE(10)',
      '2a 00 12 34 56 78 00 9a bc 00',
      { kind: 'write', first: 0x1234_5678, count: 0x9abc, durable: false },
    ],
    ['WRITE(10) with FUA', '2a 08 00 00 00 01 00 00 02 00', { kind: 'write', first: 1, count: 2, durable: true }],
    ['WRITE(10) with DPO', '2a 10 00 00 00 01 00 00 02 00', { kind: 'write', first: 1, count: 2, durable: false }],
    ['READ(12)', 'a8 00 12 34 56 78 00 12 34 56 00 00', { kind: 'blocks', first: 0x1234_5678, count: 0x12_3456 }],
    [
      'WRITE(12) with FUA',
      'aa 08 12 34 56 78 00 12 34 56 00 00',
      { kind: 'write', first: 0x1234_5678, count: 0x12_3456, durable: true },
    ],
    [
      'READ(16)',
      '88 00 00 00 01 02 03 04 05 06 00 12 34 56 00 00',
      { kind: 'blocks', first: 0x0102_0304_0506, count: 0x12_3456 },
    ],
    [
      'WRITE(16)',
      '8a 00 00 00 01 02 03 04 05 06 00 12 34 56 00 00',
      { kind: 'write', first: 0x0102_0304_0506, count: 0x12_3456, durable: false },
    ],
    ['SYNCHRONIZE CACHE(10)', '35 00 00 00 00 01 00 00 02 00', { kind: 'flush' }],
    ['SYNCHRONIZE CACHE(16)', '91 00 00 00 00 00 00 00 00 01 00 00 00 02 00 00', { kind: 'flush' }],
  ])('%s', (_, command, outcome) => {
    expect(run(command)).toEqual(outcome)
  })

  /** Of two blocks, or of none, from a place on. */
  const COMMANDS: readonly [string, string][] = [
    ['READ(6)', '08 00 00 AA CC 00'],
    ['WRITE(6)', '0a 00 00 AA CC 00'],
    ['READ(10)', '28 00 00 00 00 AA 00 00 CC 00'],
    ['WRITE(10)', '2a 00 00 00 00 AA 00 00 CC 00'],
    ['READ(12)', 'a8 00 00 00 00 AA 00 00 00 CC 00 00'],
    ['WRITE(12)', 'aa 00 00 00 00 AA 00 00 00 CC 00 00'],
    ['READ(16)', '88 00 00 00 00 00 00 00 00 AA 00 00 00 CC 00 00'],
    ['WRITE(16)', '8a 00 00 00 00 00 00 00 00 AA 00 00 00 CC 00 00'],
    ['WRITE SAME(10)', '41 00 00 00 00 AA 00 00 CC 00'],
    ['WRITE SAME(16)', '93 01 00 00 00 00 00 00 00 AA 00 00 00 CC 00 00'],
  ]
  const filled = (command: string, first: string, count: string): string =>
    command.replace('AA', first).replace('CC', count)

  test.each(COMMANDS)('%s reaches to the last block, and not past it', (_, command) => {
    const unit = disk(8 * 512)
    expect(run(filled(command, '06', '02'), unit, new Uint8Array(512)).kind).not.toBe('failed')
    expect(run(filled(command, '07', '02'), unit, new Uint8Array(512))).toEqual(failed('outOfRange'))
    expect(run(filled(command, '08', '01'), unit, new Uint8Array(512))).toEqual(failed('outOfRange'))
  })

  test.each(COMMANDS.slice(2, 8))('%s of no blocks does nothing, also behind the last one', (_, command) => {
    const unit = disk(8 * 512)
    expect(run(filled(command, '08', '00'), unit)).toEqual(GOOD)
    expect(run(filled(command, '09', '00'), unit)).toEqual(failed('outOfRange'))
  })

  test.each(COMMANDS)('%s of a disk that is write-protected', (name, command) => {
    const outcome = run(filled(command, '01', '01'), disk(8 * 512, { readOnly: true }), new Uint8Array(512))
    expect(outcome).toEqual(name.startsWith('READ') ? { kind: 'blocks', first: 1, count: 1 } : failed('readOnly'))
  })

  test.each(COMMANDS)('%s without a medium', (_, command) => {
    expect(run(filled(command, '00', '01'), disk(0), new Uint8Array(512))).toEqual(failed('noMedium'))
  })
})

describe('WRITE SAME and UNMAP', () => {
  const zeros = new Uint8Array(512)

  test.each<[string, string, object]>([
    ['10', '41 00 12 34 56 78 00 9a bc 00', { first: 0x1234_5678, count: 0x9abc }],
    ['16', '93 00 00 00 01 02 03 04 05 06 00 12 34 56 00 00', { first: 0x0102_0304_0506, count: 0x12_3456 }],
  ])('WRITE SAME(%s)', (_, command, range) => {
    expect(run(command, undefined, zeros)).toEqual({ kind: 'zeroes', ranges: [range] })
    expect(run(command, undefined, zeros.with(511, 1))).toEqual({ kind: 'same', ...range, block: zeros.with(511, 1) })
    // What the host has sent beside the block is no part of it.
    const more = new Uint8Array(600).fill(3)
    expect(run(command, undefined, more)).toEqual({ kind: 'same', ...range, block: more.slice(0, 512) })
    expect(run(command, undefined, zeros.slice(1))).toEqual(failed('badField'))
    expect(run(command)).toEqual(failed('badField'))
  })

  test('its data is a block, or with NDOB of the 16-byte form none', () => {
    const bytes = (hex: string): number => disk(HUGE, { blockBytes: 4096 }).parameterBytes(bytesOf(hex))
    expect([bytes('41 00'), bytes('41 01'), bytes('93 00'), bytes('93 01'), bytes('93 08')]).toEqual([
      4096, 4096, 4096, 0, 4096,
    ])
    expect([bytes('42 00 00 00 00 00 00 12 34'), bytes('2a 00 00 00 00 00 00 12 34'), bytes('00')]).toEqual([
      0x1234, 0, 0,
    ])
    expect(run('93 01 00 00 00 00 00 00 00 05 00 00 00 02')).toEqual({
      kind: 'zeroes',
      ranges: [{ first: 5, count: 2 }],
    })
  })

  test('a reserved bit is passed over', () => {
    const same = { kind: 'zeroes', ranges: [{ first: 5, count: 2 }] }
    expect(run('41 01 00 00 00 05 00 00 02', disk(HUGE, { discards: false }), zeros)).toEqual(same)
    expect(run('2f 01 00 00 00 05 00 00 02')).toEqual(GOOD)
    expect(run('2a 01 00 00 00 05 00 00 02')).toEqual({ kind: 'write', first: 5, count: 2, durable: false })
  })

  test.each([true, false])('the bit to unmap is for a medium that discards: %s', (discards) => {
    const unit = disk(HUGE, { discards })
    const zeroes = { kind: 'zeroes', ranges: [{ first: 5, count: 2 }] }
    expect(run('41 08 00 00 00 05 00 00 02', unit, zeros)).toEqual(discards ? zeroes : failed('badField'))
    expect(run('41 00 00 00 00 05 00 00 02', unit, zeros)).toEqual(zeroes)
    const list = bytesOf('0016 0010 00000000 0000010203040506 00000007 00000000')
    expect(run('42 00 00 00 00 00 00 00 18', unit, list)).toEqual(
      discards ? { kind: 'discard', ranges: [{ first: 0x0102_0304_0506, count: 7 }] } : failed('badField'),
    )
  })

  test.each([
    { bits: '02', what: 'LBDATA' },
    { bits: '04', what: 'PBDATA' },
    { bits: '10', what: 'ANCHOR' },
  ])('$what of WRITE SAME is not known', ({ bits }) => {
    expect(run(`41 ${bits} 00 00 00 05 00 00 02`, undefined, zeros)).toEqual(failed('badField'))
    expect(run(`93 ${bits} 00 00 00 00 00 00 00 05 00 00 00 02`, undefined, zeros)).toEqual(failed('badField'))
  })

  /** UNMAP with a list, of which the header says how long it is. */
  const unmap = (
    list: string,
    { flags = '00', length = list.replaceAll(' ', '').length / 2, unit = disk(HUGE) } = {},
  ) => run(`42 ${flags} 00 00 00 00 00 ${length.toString(16).padStart(4, '0')} 00`, unit, bytesOf(list))
  const range = (first: number, count: number): string =>
    `${first.toString(16).padStart(16, '0')} ${count.toString(16).padStart(8, '0')} 00000000`
  const discard = (...ranges: readonly (readonly [number, number])[]): object => ({
    kind: 'discard',
    ranges: ranges.map(([first, count]) => ({ first, count })),
  })

  test('UNMAP takes as many ranges as both lengths hold, and passes over those of no blocks', () => {
    expect(unmap(`0036 0030 00000000 ${range(5, 1)} ${range(9, 0)} ${range(7, 2)}`)).toEqual(discard([5, 1], [7, 2]))
    expect(unmap(`0026 0010 00000000 ${range(5, 1)} ${range(7, 2)}`)).toEqual(discard([5, 1]))
    expect(unmap(`0026 0020 00000000 ${range(5, 1)} ${range(7, 2)}`, { length: 39 })).toEqual(discard([5, 1]))
    expect(unmap(`0026 001f 00000000 ${range(5, 1)} ${range(7, 2)}`)).toEqual(discard([5, 1]))
    expect(unmap(`0006 0000 00000000`)).toEqual(discard())
  })

  test('UNMAP without a list does nothing; a list shorter than its header, or than the host says, is wrong', () => {
    expect(unmap('', { length: 0 })).toEqual(GOOD)
    expect(unmap('00')).toEqual(failed('badParameter'))
    expect(unmap('0006 0000 000000')).toEqual(failed('badParameter'))
    expect(unmap('0006 0000 00000000', { length: 9 })).toEqual(failed('badParameter'))
  })

  test('UNMAP of an anchor, of a protected disk, and behind the end', () => {
    const list = `0016 0010 00000000 ${range(6, 2)}`
    expect(unmap(list, { unit: disk(8 * 512) })).toEqual(discard([6, 2]))
    expect(unmap(list, { unit: disk(7 * 512) })).toEqual(failed('outOfRange'))
    expect(unmap(list, { flags: '01' })).toEqual(failed('badField'))
    expect(unmap(list, { unit: disk(8 * 512, { readOnly: true }) })).toEqual(failed('readOnly'))
  })
})

describe('what is asked', () => {
  const data = (outcome: ScsiOutcome): unknown =>
    outcome.kind === 'data'
      ? { most: outcome.most, first: Buffer.from(outcome.bytes.subarray(0, 8)).toString('hex') }
      : outcome

  test.each<[string, string, object]>([
    ['INQUIRY', '12 00 00 12 34 00', { most: 0x1234, first: '000006121f000002' }],
    ['INQUIRY of a page', '12 01 b1 12 34 00', { most: 0x1234, first: '00b1003c00010000' }],
    ['INQUIRY of a page that is not there', '12 01 c0 00 ff 00', failed('badField')],
    ['INQUIRY of a page without EVPD', '12 00 b1 00 ff 00', failed('badField')],
    ['REQUEST SENSE', '03 00 00 00 12 00', { most: 0x12, first: '700000000000000a' }],
    ['MODE SENSE(6)', '1a 00 08 00 34 00', { most: 0x34, first: '1700100008120400' }],
    ['MODE SENSE(10)', '5a 00 08 00 00 00 00 12 34 00', { most: 0x1234, first: '001a001000000000' }],
    ['MODE SENSE of saved pages', '1a 00 c8 00 34 00', failed('noSavedPages')],
    ['MODE SELECT(6)', '15 10 00 00 0c 00', failed('badField')],
    ['MODE SELECT(10)', '55 10 00 00 00 00 00 00 0c 00', failed('badField')],
    ['READ CAPACITY(10)', '25 00 00 00 00 00 00 00 00 00', { most: 8, first: 'ffffffff00000200' }],
    [
      'READ CAPACITY(16)',
      '9e 10 00 00 00 00 00 00 00 00 00 12 34 56 00 00',
      { most: 0x12_3456, first: '000007ffffffffff' },
    ],
    ['another service action', '9e 11 00 00 00 00 00 00 00 00 00 12 34 56 00 00', failed('badField')],
    ['READ FORMAT CAPACITIES', '23 00 00 00 00 00 00 12 34 00', { most: 0x1234, first: '00000008ffffffff' }],
    ['REPORT LUNS', 'a0 00 00 00 00 00 00 12 34 56 00 00', { most: 0x12_3456, first: '0000000800000000' }],
    [
      'REPORT LUNS of well-known units',
      'a0 00 01 00 00 00 00 12 34 56',
      { most: 0x12_3456, first: '0000000000000000' },
    ],
    ['REPORT LUNS of all', 'a0 00 02 00 00 00 00 12 34 56 00 00', { most: 0x12_3456, first: '0000000800000000' }],
    ['REPORT LUNS of others', 'a0 00 03 00 00 00 00 12 34 56 00 00', failed('badField')],
    ['START STOP UNIT', '1b 00 00 00 01 00', GOOD],
    ['PREVENT ALLOW MEDIUM REMOVAL', '1e 00 00 00 01 00', GOOD],
    ['TEST UNIT READY', '00 00 00 00 00 00', GOOD],
    ['a command that is not known', '02 00 00 00 00 00', failed('unknownCommand')],
  ])('%s', (_, command, outcome) => {
    expect(data(run(command))).toEqual(outcome)
  })

  test.each([
    { bits: '02', outcome: failed('badField') },
    { bits: '04', outcome: failed('badField') },
    { bits: '06', outcome: failed('badField') },
    { bits: '10', outcome: GOOD },
  ])('VERIFY with bits $bits', ({ bits, outcome }) => {
    expect(run(`2f ${bits} 12 34 56 78 00 9a bc 00`)).toEqual(outcome)
    expect(run(`8f ${bits} 00 00 01 02 03 04 05 06 00 12 34 56 00 00`)).toEqual(outcome)
  })

  test('a disk without a medium says what it is, and has no blocks', () => {
    const unit = disk(0)
    for (const command of ['12 00 00 00 24', 'a0 00 00 00 00 00 00 00 00 10', '1a 00 3f 00 ff', '1b', '1e'])
      expect(run(command, unit).kind).not.toBe('failed')
    for (const command of ['00', '25', '2f', '35', '91', '23', '42', '02'])
      expect(run(command, unit)).toEqual(failed('noMedium'))
  })

  test('write protection is in the header of mode pages', () => {
    const head = (readOnly: boolean): unknown => data(run('1a 00 0a 00 ff 00', disk(HUGE, { readOnly })))
    expect([head(false), head(true)]).toEqual([
      { most: 255, first: '0f0010000a0a0010' },
      { most: 255, first: '0f0090000a0a0010' },
    ])
  })

  test('before a host has heard of a reset, it may ask who is there', () => {
    for (const command of ['12 00 00 00 24', 'a0 00 00 00 00 00 00 00 00 10']) {
      const unit = disk(HUGE)
      unit.powerOn()
      expect(run(command, unit).kind).toBe('data')
      expect([run('1b', unit), run('1b', unit)]).toEqual([failed('powerOn'), GOOD])
    }
    const unit = disk(HUGE)
    unit.powerOn()
    // Sense data that is asked for tells it.
    expect(data(run('03 00 00 00 12', unit))).toEqual({ most: 18, first: '700006000000000a' })
    expect(run('00', unit)).toEqual(GOOD)
  })
})

test.each([
  { what: 'a disk that appears', from: 0, to: 4096, sense: 'mediumChanged' },
  { what: 'one that goes', from: 4096, to: 0, sense: 'mediumChanged' },
  { what: 'one of another size', from: 4096, to: 8192, sense: 'capacityChanged' },
  { what: 'a smaller one', from: 8192, to: 4096, sense: 'capacityChanged' },
  { what: 'one of the same size', from: 4096, to: 4096, sense: 'mediumChanged' },
] as const)('$what is told', ({ from, to, sense }) => {
  const medium = new TestDisk(512, { bytes: from })
  const unit = new ScsiDisk({ medium })
  unit.execute(Uint8Array.of(0))
  medium.change({ bytes: to })
  expect(run('1b', unit)).toEqual(failed(sense))
  unit.removed()
  medium.change({ bytes: 512 })
  expect(run('1b', unit)).toEqual(GOOD)
})

test('options at their limits', () => {
  const medium = new TestDisk(4096)
  const make = (options: Partial<ScsiDiskOptions>): unknown => new ScsiDisk({ medium, ...options })
  for (const serialNumber of ['', ' ~', 'x'.repeat(36)]) expect(() => make({ serialNumber })).not.toThrow()
  for (const serialNumber of ['x'.repeat(37), 'é', '\n', '\x7f'])
    expect(() => make({ serialNumber })).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
  for (const maximumBytes of [512, 2 ** 32 - 1]) expect(() => make({ maximumBytes })).not.toThrow()
  for (const maximumBytes of [511, 2 ** 32, NaN])
    expect(() => make({ maximumBytes })).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
  // Of a medium's own number as much as there is room for is told.
  const long = new ScsiDisk({ medium: new TestDisk(4096, { serialNumber: 'y'.repeat(40) }) })
  const page = run('12 01 80 00 ff', long)
  expect(page.kind === 'data' && Buffer.from(page.bytes).toString('latin1')).toBe(`\0\x80\0${'$'}${'y'.repeat(36)}`)
})

test('without maximumBytes a command has 4 MiB at most', () => {
  const unit = disk(HUGE, {}, { maximumBytes: MOST_TRANSFER_BYTES })
  expect(run('88 00 00 00 00 00 00 00 00 00 00 00 20 00', unit)).toMatchObject({ count: 0x2000 })
  expect(run('88 00 00 00 00 00 00 00 00 00 00 00 20 01', unit)).toEqual(failed('badField'))
  expect(MOST_TRANSFER_BYTES).toBe(0x2000 * 512)
})
