/**
 * What each command of a CD drive means, by its bytes: MMC-5 and SPC-3, the sections of the commands. Numbers in commands are
 * distinct in each byte, so that a field read elsewhere gives another outcome.
 */
import { TestDisk } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { ScsiCd, type ScsiOutcome, SENSE } from '../src/index.ts'

const GOOD = { kind: 'good' }
const failed = (name: keyof typeof SENSE): object => ({ kind: 'failed', sense: SENSE[name] })
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

/** A drive with a disc of so many blocks. */
function drive(blocks: number): ScsiCd {
  const unit = new ScsiCd({
    medium: blocks === 0 ? null : new TestDisk(2048, { bytes: blocks * 2048, blockBytes: 2048 }),
  })
  unit.execute(Uint8Array.of(0))
  return unit
}

const HUGE = 0x2000_0000
const run = (hex: string, unit = drive(HUGE)): ScsiOutcome => unit.execute(bytesOf(hex))
/** Of data how much is asked for, and how it begins. */
const data = (outcome: ScsiOutcome): unknown =>
  outcome.kind === 'data'
    ? { most: outcome.most, first: Buffer.from(outcome.bytes.subarray(0, 8)).toString('hex') }
    : outcome

describe('commands', () => {
  test.each<[string, string, object]>([
    ['READ(10)', '28 00 12 34 56 78 00 9a bc 00', { kind: 'blocks', first: 0x1234_5678, count: 0x9abc }],
    ['READ(12)', 'a8 00 12 34 56 78 00 12 34 56 00 00', { kind: 'blocks', first: 0x1234_5678, count: 0x12_3456 }],
    ['READ CD', 'be 00 12 34 56 78 12 34 56 10 00 00', { kind: 'blocks', first: 0x1234_5678, count: 0x12_3456 }],
    ['SEEK(10)', '2b 00 12 34 56 78 00 00 00 00', GOOD],
    ['READ CAPACITY', '25 00 00 00 00 00 00 00 00 00', { most: 8, first: '1fffffff00000800' }],
    ['READ SUB-CHANNEL', '42 02 40 01 00 00 00 12 34 00', { most: 0x1234, first: '00150000' }],
    ['READ DISC INFORMATION', '51 00 00 00 00 00 00 12 34 00', { most: 0x1234, first: '00200e0101010120' }],
    ['MECHANISM STATUS', 'bd 00 00 00 00 00 00 00 12 34 00', { most: 0x1234, first: '0000000000000000' }],
    ['SET CD SPEED', 'bb 00 ff ff ff ff 00 00 00 00 00', GOOD],
    ['TEST UNIT READY', '00 00 00 00 00 00', GOOD],
    ['REQUEST SENSE', '03 00 00 00 12 00', { most: 0x12, first: '700000000000000a' }],
    ['INQUIRY', '12 00 00 00 34 00', { most: 0x34, first: '058000211f000000' }],
    ['INQUIRY of a page of vital product data', '12 01 00 00 34 00', failed('badField')],
    ['INQUIRY of a page without EVPD', '12 00 80 00 34 00', failed('badField')],
    ['GET CONFIGURATION', '46 00 00 10 00 00 00 12 34 00', { most: 0x1234, first: '0000001c00000010' }],
    ['GET CONFIGURATION of what is current', '46 01 00 10 00 00 00 12 34', { most: 0x1234, first: '0000001400000010' }],
    ['GET CONFIGURATION of one feature', '46 02 00 10 00 00 00 12 34', { most: 0x1234, first: '0000001000000010' }],
    ['GET CONFIGURATION of no such type', '46 03 00 10 00 00 00 12 34 00', failed('badField')],
    ['GET CONFIGURATION, a reserved bit', '46 04 00 1f 00 00 00 12 34 00', { most: 0x1234, first: '0000000800000010' }],
    ['GET EVENT STATUS NOTIFICATION', '4a 01 00 00 10 00 00 12 34 00', { most: 0x1234, first: '0006041000020000' }],
    ['GET EVENT STATUS NOTIFICATION that waits', '4a 00 00 00 10 00 00 12 34 00', failed('badField')],
    ['MODE SENSE(6)', '1a 00 01 00 34 00', { most: 0x34, first: '0b01000001060005' }],
    ['MODE SENSE(10)', '5a 00 01 00 00 00 00 12 34 00', { most: 0x1234, first: '000e010000000000' }],
    ['a command that is not known', '02 00 00 00 00 00', failed('unknownCommand')],
    ['WRITE(10)', '2a 00 00 00 00 00 00 00 01 00', failed('unknownCommand')],
  ])('%s', (_, command, outcome) => {
    expect(data(run(command))).toEqual(outcome)
  })

  test.each([
    ['READ(10)', '28 00 00 00 00 AA 00 00 CC 00'],
    ['READ(12)', 'a8 00 00 00 00 AA 00 00 00 CC 00 00'],
    ['READ CD', 'be 00 00 00 00 AA 00 00 CC 10 00 00'],
  ])('%s reaches to the last block, and not past it; of a disc of one block too', (_, command) => {
    const read = (first: string, count: string, blocks: number): unknown =>
      run(command.replace('AA', first).replace('CC', count), drive(blocks))
    expect(read('06', '02', 8)).toEqual({ kind: 'blocks', first: 6, count: 2 })
    expect(read('07', '02', 8)).toEqual(failed('outOfRange'))
    expect(read('00', '01', 1)).toEqual({ kind: 'blocks', first: 0, count: 1 })
    expect(read('08', '00', 8)).toEqual(GOOD)
    expect(read('09', '00', 8)).toEqual(failed('outOfRange'))
  })

  // Byte 1: the expected sector type; byte 9: which parts of a sector; byte 10: sub-channels.
  test.each([
    ...Array.from({ length: 8 }, (_, type) => ({
      byte: 1,
      value: type << 2,
      is: [0, 2, 4].includes(type) ? 'read' : 'bad',
    })),
    { byte: 1, value: 0x02, is: 'read' },
    { byte: 9, value: 0x10, is: 'read' },
    { byte: 9, value: 0x17, is: 'read' },
    { byte: 9, value: 0x00, is: 'nothing' },
    { byte: 9, value: 0x07, is: 'nothing' },
    ...[0x08, 0x18, 0x20, 0x30, 0x40, 0x80, 0xf8].map((value) => ({ byte: 9, value, is: 'bad' })),
    ...[1, 2, 4].map((value) => ({ byte: 10, value, is: 'bad' })),
    { byte: 11, value: 0xff, is: 'read' },
  ])('READ CD with $value in byte $byte: $is', ({ byte, value, is }) => {
    const packet = bytesOf('be 00 00 00 00 05 00 00 02 10 00 00').with(byte, value)
    const outcomes = { read: { kind: 'blocks', first: 5, count: 2 }, nothing: GOOD, bad: failed('badField') }
    expect(drive(8).execute(packet)).toEqual(outcomes[is as keyof typeof outcomes])
  })

  test.each<[string, object]>([
    ['43 00 00 00 00 00 00 12 34 00', { most: 0x1234, first: '0012010100140100' }],
    ['43 00 00 00 00 00 01 12 34 00', { most: 0x1234, first: '0012010100140100' }],
    ['43 00 00 00 00 00 aa 12 34 00', { most: 0x1234, first: '000a01010014aa00' }],
    ['43 00 00 00 00 00 02 12 34 00', failed('badField')],
    ['43 00 01 00 00 00 00 12 34 00', { most: 0x1234, first: '000a010100140100' }],
    ['43 00 02 00 00 00 00 12 34 00', failed('badField')],
    ['43 00 f1 00 00 00 05 12 34 00', { most: 0x1234, first: '000a010100140100' }],
    // As SFF-8020i has it.
    ['43 00 00 00 00 00 00 12 34 40', { most: 0x1234, first: '000a010100140100' }],
    ['43 00 00 00 00 00 00 12 34 80', failed('badField')],
    ['43 00 00 00 00 00 00 12 34 3f', { most: 0x1234, first: '0012010100140100' }],
  ])('READ TOC %s', (command, outcome) => {
    expect(data(run(command))).toEqual(outcome)
  })

  test.each([
    { byte: '00', track: '00000000', leadOut: '000003e8', session: '00000000' },
    { byte: '01', track: '00000000', leadOut: '000003e8', session: '00000000' },
    { byte: '02', track: '00000200', leadOut: '00000f19', session: '00000200' },
    { byte: '03', track: '00000200', leadOut: '00000f19', session: '00000200' },
  ])('READ TOC with $byte in byte 1: addresses as blocks, or as times', ({ byte, track, leadOut, session }) => {
    const bytes = (format: string): string => {
      const outcome = run(`43 ${byte} ${format} 00 00 00 00 00 ff 00`, drive(1000))
      return outcome.kind === 'data' ? Buffer.from(outcome.bytes).toString('hex') : ''
    }
    expect(bytes('00')).toBe(`0012010100140100${track}0014aa00${leadOut}`)
    expect(bytes('01')).toBe(`000a010100140100${session}`)
  })

  test('a drive without a disc says what it is, and has nothing to read', () => {
    const unit = drive(0)
    for (const command of ['12 00 00 00 24', '46', '4a 01 00 00 10', '1a 00 3f 00 ff', '1b', '1e', 'bb', 'bd'])
      expect([command, run(command, unit).kind]).not.toEqual([command, 'failed'])
    for (const command of ['00', '25', '28', 'a8', 'be', '2b', '42', '43', '51'])
      expect([command, run(command, unit)]).toEqual([command, failed('noMedium')])
    expect(data(run('1a 00 01 00 34 00', unit))).toEqual({ most: 0x34, first: '0b70000001060005' })
    expect(unit.senseOfExchange()).toEqual(SENSE.noMedium)
    expect([drive(1).senseOfExchange(), drive(2).senseOfExchange()]).toEqual([SENSE.mediumChanged, SENSE.mediumChanged])
  })

  test('a disc of one block is one', () => {
    const unit = drive(1)
    expect(data(run('1a 00 01 00 34 00', unit))).toEqual({ most: 0x34, first: '0b01000001060005' })
    run('1b 00 00 00 02', unit)
    run('1b 00 00 00 03', unit)
    expect(run('00', unit)).toEqual(failed('mediumChanged'))
    expect(data(run('4a 01 00 00 10 00 00 00 08', unit))).toEqual({ most: 8, first: '0006041002020000' })
    expect(unit.takeExchange()).toBe(null)
    expect(new ScsiCd({ medium: null }).save().exchanged).toBe(false)
    expect([unit.parameterBytes(), drive(0).parameterBytes()]).toEqual([0, 0])
  })

  test.each(['12 00 00 00 24', '46 00 00 00 00 00 00 00 ff', '4a 01 00 00 10 00 00 00 08'])(
    'before a host has heard of a reset, it may ask with %s',
    (command) => {
      const unit = drive(8)
      unit.powerOn()
      expect(run(command, unit).kind).toBe('data')
      expect([run('bb', unit), run('bb', unit)]).toEqual([failed('powerOn'), GOOD])
    },
  )
})

describe('START STOP UNIT, by LOEJ and START', () => {
  const open = (unit: ScsiCd): unknown => unit.save()['open']

  test.each([
    { what: 'without LOEJ', command: '1b 00 00 00 00', from: false, to: false },
    { what: 'START alone', command: '1b 00 00 00 01', from: true, to: true },
    { what: 'eject', command: '1b 00 00 00 02', from: false, to: true },
    { what: 'eject again', command: '1b 00 00 00 02', from: true, to: true },
    { what: 'load', command: '1b 00 00 00 03', from: true, to: false },
    { what: 'load again', command: '1b 00 00 00 03', from: false, to: false },
    { what: 'eject, with other bits', command: '1b 01 00 00 f2', from: false, to: true },
  ])('$what', ({ command, from, to }) => {
    const unit = drive(8)
    if (from) run('1b 00 00 00 02', unit)
    const before = unit.exchanges
    expect(run(command, unit)).toEqual(GOOD)
    expect(open(unit)).toBe(to)
    expect(unit.blocks).toBe(to ? 0 : 8)
    // A disc that is taken in is as good as another.
    expect(unit.exchanges - before).toBe(from && !to ? 1 : 0)
    expect(run('00', unit)).toEqual(to ? failed('noMedium') : from ? failed('mediumChanged') : GOOD)
    expect(data(run('bd 00 00 00 00 00 00 00 00 08', unit))).toEqual({
      most: 8,
      first: to ? '0010000000000000' : '0000000000000000',
    })
  })

  test('a tray that is locked stays in; one without a disc comes back without a change', () => {
    const unit = drive(8)
    run('1e 00 00 00 01', unit)
    expect(run('1b 00 00 00 02', unit)).toEqual(failed('removalPrevented'))
    expect(data(run('1a 00 2a 00 34 00', unit))).toEqual({ most: 0x34, first: '170100002a120b00' })
    run('1e 00 00 00 02', unit)
    expect(run('1b 00 00 00 02', unit)).toEqual(GOOD)
    const empty = drive(0)
    for (const command of ['1b 00 00 00 02', '1b 00 00 00 03', 'bb']) expect(run(command, empty)).toEqual(GOOD)
    expect(empty.exchanges).toBe(0)
  })

  test('an event is kept until it is asked for, with its class', () => {
    const unit = drive(8)
    run('1b 00 00 00 02', unit)
    expect(data(run('4a 01 00 00 ef 00 00 00 08', unit))).toEqual({ most: 8, first: '00028010' })
    expect(data(run('4a 01 00 00 10 00 00 00 08', unit))).toEqual({ most: 8, first: '0006041003010000' })
    expect(data(run('4a 01 00 00 10 00 00 00 08', unit))).toEqual({ most: 8, first: '0006041000010000' })
  })
})
