import { TestDisk } from '@retrap/device/test-machine'
import type { BlockTrayClient, BlockTrayState } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { configuration } from '../src/scsi-cd.ts'
import { HeldSense, ScsiCd, ScsiDisk, SENSE, senseOf } from '../src/index.ts'

/** A drive that has told of its power-on. */
function drive(): ScsiCd {
  const made = new ScsiCd({ medium: new TestDisk(400 * 2048, { blockBytes: 2048 }) })
  made.execute(Uint8Array.of(0))
  return made
}

test('MODE SENSE(6) and (10) have the same pages behind headers of their own (SPC-4, "Mode parameter header")', () => {
  const short = drive().execute(Uint8Array.of(0x1a, 0, 0x3f, 0, 255))
  const long = drive().execute(Uint8Array.of(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255))
  if (short.kind !== 'data' || long.kind !== 'data') throw new Error('no data')
  expect([...short.bytes.subarray(0, 4)]).toEqual([short.bytes.length - 1, 1, 0, 0])
  expect([...long.bytes.subarray(0, 8)]).toEqual([0, long.bytes.length - 2, 1, 0, 0, 0, 0, 0])
  expect(short.bytes.subarray(4)).toEqual(long.bytes.subarray(8))
  expect([...short.bytes.subarray(12, 14)]).toEqual([0x2a, 18])
  expect([short.most, long.most]).toEqual([255, 255])
})

test('SEEK(10) goes to any block of the disc, and to none behind it', () => {
  const seek = (block: number): unknown => drive().execute(Uint8Array.of(0x2b, 0, 0, 0, block >> 8, block & 0xff))
  expect(seek(399)).toMatchObject({ kind: 'good' })
  expect(seek(400)).toEqual({ kind: 'failed', sense: SENSE.outOfRange })
})

test('the capabilities that can be changed are none, and none are saved', () => {
  const changeable = drive().execute(Uint8Array.of(0x1a, 0, 0x6a, 0, 255))
  if (changeable.kind !== 'data') throw new Error('no data')
  expect([...changeable.bytes.subarray(4)]).toEqual([0x2a, 18, ...Array.from({ length: 18 }, () => 0)])
  expect(drive().execute(Uint8Array.of(0x1a, 0, 0xea, 0, 255))).toEqual({ kind: 'failed', sense: SENSE.noSavedPages })
})

test('the page of error recovery: one of 6 bytes, which tells of 5 tries (MMC-5, "Read/Write Error Recovery mode page")', () => {
  const page = drive().execute(Uint8Array.of(0x1a, 0, 0x01, 0, 255))
  if (page.kind !== 'data') throw new Error('no data')
  expect([...page.bytes.subarray(4)]).toEqual([0x01, 6, 0, 5, 0, 0, 0, 0])
})

test.each([
  { disc: 'no disc', blocks: 0, profile: 0, current: [0, 0] },
  { disc: 'the largest CD', blocks: 445_500, profile: 8, current: [0, 1] },
  { disc: 'a disc of one block more', blocks: 445_501, profile: 0x10, current: [1, 0] },
])('the profile of $disc (MMC-5, "Profile List Feature")', ({ blocks, profile, current }) => {
  const [dvd, cd] = current as [number, number]
  expect([...configuration(blocks, 0, 2)]).toEqual([
    ...[0, 0, 0, 16, 0, 0, 0, profile],
    ...[0, 0, 1, 8, 0, 0x10, dvd, 0, 0, 8, cd, 0],
  ])
})

test('a disc is not made of blocks that do not divide 2048 bytes', () => {
  expect(() => new ScsiCd({ medium: new TestDisk(4096, { blockBytes: 4096 }) })).toThrow('blocks of 4096 bytes')
})

describe('the tray (MMC-5, "PREVENT ALLOW MEDIUM REMOVAL", "START STOP UNIT", "GET EVENT STATUS NOTIFICATION")', () => {
  const LOCK = Uint8Array.of(0x1e, 0, 0, 0, 1)
  const EJECT = Uint8Array.of(0x1b, 0, 0, 0, 2)
  const LOAD = Uint8Array.of(0x1b, 0, 0, 0, 3)

  /** A disc, and what its user hears of the tray. */
  function withTray() {
    let client: BlockTrayClient | undefined
    const heard: BlockTrayState[] = []
    const disc = Object.assign(new TestDisk(400 * 2048, { blockBytes: 2048 }), {
      tray: {
        connect: (given: BlockTrayClient) => void (client = given),
        moved: (state: BlockTrayState) => void heard.push(state),
      },
    })
    const unit = new ScsiCd({ medium: disc })
    unit.execute(Uint8Array.of(0))
    const event = (): readonly number[] => {
      const outcome = unit.execute(Uint8Array.of(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8))
      return outcome.kind === 'data' ? [...outcome.bytes.subarray(4, 6)] : []
    }
    return { unit, disc, client: client!, last: () => heard.at(-1), event }
  }

  test('what the guest does with it is told, also after a restore', () => {
    const { unit, last } = withTray()
    unit.execute(LOCK)
    expect(last()).toEqual({ open: false, locked: true })
    const other = withTray()
    other.unit.restore(structuredClone(unit.save()))
    expect(other.last()).toEqual({ open: false, locked: true })
    unit.execute(Uint8Array.of(0x1e, 0, 0, 0, 0))
    unit.execute(EJECT)
    expect(last()).toEqual({ open: true, locked: false })
    unit.execute(LOAD)
    expect(last()).toEqual({ open: false, locked: false })
    unit.execute(LOCK)
    unit.powerOn()
    expect(last()).toEqual({ open: false, locked: false })
  })

  test('a disc is taken out of an open tray, and the next one closes it', () => {
    const { unit, disc, last, event } = withTray()
    disc.change({ bytes: 0 })
    expect([last()?.open, event(), event()]).toEqual([true, [3, 1], [0, 1]])
    disc.change({ bytes: 4096 })
    expect([last()?.open, event()]).toEqual([false, [2, 2]])
    expect(unit.execute(Uint8Array.of(0))).toEqual({ kind: 'failed', sense: SENSE.mediumChanged })
  })

  test('a disc that is exchanged during a command fails it, and no later one', () => {
    const disk = new TestDisk(400 * 2048, { blockBytes: 2048 })
    const cd = new ScsiCd({ medium: disk })
    const read = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 1)
    cd.execute(Uint8Array.of(0))
    expect(cd.execute(read).kind).toBe('blocks')
    expect([cd.takeExchange(), cd.exchanges]).toEqual([null, 0])
    disk.change({ blockBytes: 2048 })
    expect([cd.takeExchange(), cd.exchanges]).toEqual([SENSE.mediumChanged, 1])
    // This command has told the host.
    expect(cd.execute(read).kind).toBe('blocks')
    expect([cd.takeExchange(), cd.exchanges]).toEqual([null, 1])
    const other = new ScsiCd({ medium: new TestDisk(400 * 2048, { blockBytes: 2048 }) })
    disk.change({ blockBytes: 2048 })
    other.restore(cd.save())
    expect(other.takeExchange()).toEqual(SENSE.mediumChanged)
  })

  test('a user who wants a locked disc is an event, once', () => {
    const { unit, client, event } = withTray()
    unit.execute(LOCK)
    client.ejectRequested()
    expect([event(), event()]).toEqual([
      [1, 2],
      [0, 2],
    ])
  })

  test('a disc that no drive takes is refused', () => {
    const { client, disc } = withTray()
    expect(client.refuses({ ...disc.properties, blockBytes: 4096 })).toContain('blocks of 4096 bytes')
    expect(client.refuses({ ...disc.properties, blockBytes: 512 })).toBeNull()
  })
})

test.each([
  { what: 'a page of vital product data', packet: [0x12, 1, 0, 0, 36], refused: true },
  { what: 'a page code without EVPD', packet: [0x12, 0, 0x80, 0, 36], refused: true },
  { what: 'the logical unit of SCSI-2', packet: [0x12, 2, 0, 0, 36], refused: false },
])('INQUIRY with $what (SPC-4, "INQUIRY command")', ({ packet, refused }) => {
  const outcome = drive().execute(Uint8Array.from(packet))
  if (refused) expect(outcome).toEqual({ kind: 'failed', sense: SENSE.badField })
  else expect(outcome).toMatchObject({ kind: 'data' })
})

test('held sense data are told once, and only until the next command', () => {
  const held = new HeldSense(drive())
  const sense = (): readonly number[] => {
    const outcome = held.execute(Uint8Array.of(3, 0, 0, 0, 18))
    return outcome.kind === 'data' ? [2, 12, 13].map((at) => outcome.bytes[at]!) : []
  }
  held.execute(Uint8Array.of(0xff))
  expect([sense(), sense()]).toEqual([
    [5, 0x20, 0],
    [0, 0, 0],
  ])
  held.execute(Uint8Array.of(0xff))
  held.execute(Uint8Array.of(0))
  expect(sense()).toEqual([0, 0, 0])
  held.fail(senseOf('ERR_MEDIUM', true))
  const other = new HeldSense(new ScsiDisk({ medium: new TestDisk(512) }))
  other.restore(structuredClone(held.save()))
  expect(other.execute(Uint8Array.of(3, 0, 0, 0, 18))).toEqual(held.execute(Uint8Array.of(3, 0, 0, 0, 18)))
})
