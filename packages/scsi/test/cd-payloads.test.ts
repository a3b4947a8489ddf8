/** What a CD drive answers, byte by byte. Sources: MMC-5, SPC-3; the sections are named with the answers. */
import { describe, expect, test } from 'vitest'
import * as cdPayloads from '../src/scsi-cd.ts'

const hex = (bytes: Iterable<number> | null): string | null =>
  bytes === null
    ? null
    : Buffer.from([...bytes])
        .toString('hex')
        .replaceAll(/(.{8})(?=.)/g, '$1 ')

test.each([
  [
    'INQUIRY',
    cdPayloads.inquiry('drive'),
    '05800021 1f000000 52455452 41502020 64726976 65202020 20202020 20202020 312e3020',
  ],
  ['READ CAPACITY', cdPayloads.capacity(0x1_2345), '00012344 00000800'],
  ['sessions by block', cdPayloads.sessions(false), '000a0101 00140100 00000000'],
  ['sessions by time', cdPayloads.sessions(true), '000a0101 00140100 00000200'],
  ['READ SUB-CHANNEL', cdPayloads.subChannel(), '00150000'],
  [
    'READ DISC INFORMATION',
    cdPayloads.discInformation(),
    '00200e01 01010120 00000000 00000000 ffffffff ffffffff 00000000 00000000 0000',
  ],
  ['MECHANISM STATUS, closed', cdPayloads.mechanismStatus(false), '00000000 00000000'],
  ['MECHANISM STATUS, open', cdPayloads.mechanismStatus(true), '00100000 00000000'],
  ['error recovery page', cdPayloads.cdPages(false)[0]!, '01060005 00000000'],
  ['capabilities page', cdPayloads.cdPages(false)[1]!, '2a120b00 70002900 02c20002 020002c2 00000000'],
  ['capabilities page, locked', cdPayloads.cdPages(true)[1]!, '2a120b00 70002b00 02c20002 020002c2 00000000'],
  ['medium type', [cdPayloads.mediumType(true), cdPayloads.mediumType(false)], '0170'],
])('%s', (_, bytes, expected) => {
  expect(hex(bytes)).toBe(expected)
})

describe('READ TOC', () => {
  test.each([
    { blocks: 1000, first: 0, msf: false, expected: '00120101 00140100 00000000 0014aa00 000003e8' },
    { blocks: 1000, first: 1, msf: false, expected: '00120101 00140100 00000000 0014aa00 000003e8' },
    { blocks: 1000, first: 0xaa, msf: false, expected: '000a0101 0014aa00 000003e8' },
    { blocks: 1000, first: 2, msf: false, expected: null },
    { blocks: 1000, first: 0xab, msf: false, expected: null },
    // 1,150 frames after the first address are 15 seconds and 25 frames.
    { blocks: 1000, first: 0xaa, msf: true, expected: '000a0101 0014aa00 00000f19' },
    { blocks: 60 * 75 - 150, first: 0xaa, msf: true, expected: '000a0101 0014aa00 00010000' },
    { blocks: 60 * 75 - 151, first: 0xaa, msf: true, expected: '000a0101 0014aa00 00003b4a' },
    { blocks: 255 * 60 * 75 - 150, first: 0xaa, msf: true, expected: '000a0101 0014aa00 00ff0000' },
    { blocks: 256 * 60 * 75 - 150, first: 0xaa, msf: true, expected: '000a0101 0014aa00 00ff0000' },
  ])('of $blocks blocks from track $first, by time $msf', ({ blocks, first, msf, expected }) => {
    expect(hex(cdPayloads.tableOfContents(blocks, first, msf))).toBe(expected)
  })
})

describe('GET CONFIGURATION', () => {
  /** Features by the discs that are in: none, a CD, a DVD. */
  const profiles = {
    none: '00000108 00100000 00080000',
    cd: '00000108 00100000 00080100',
    dvd: '00000108 00100100 00080000',
  }
  const core = '00010108 00000002 00000000'
  const removable = '00030104 29000000'
  const readable = (current: number): string => `00100${current}08 00000800 00010000`
  const cd = (current: number): string => `001e0${current}04 00000000`
  const dvd = (current: number): string => `001f0${current}00`
  const CD = 99 * 60 * 75

  test.each([
    {
      what: 'no disc',
      blocks: 0,
      head: '0000003c 00000000',
      rows: [profiles.none, core, removable, readable(0), cd(0), dvd(0)],
    },
    {
      what: 'a CD',
      blocks: 1,
      head: '0000003c 00000008',
      rows: [profiles.cd, core, removable, readable(1), cd(1), dvd(0)],
    },
    {
      what: 'the largest CD',
      blocks: CD,
      head: '0000003c 00000008',
      rows: [profiles.cd, core, removable, readable(1), cd(1), dvd(0)],
    },
    {
      what: 'a DVD',
      blocks: CD + 1,
      head: '0000003c 00000010',
      rows: [profiles.dvd, core, removable, readable(1), cd(0), dvd(1)],
    },
  ])('all features with $what', ({ blocks, head, rows }) => {
    expect(hex(cdPayloads.configuration(blocks, 0, 0))).toBe([head, ...rows].join(' '))
  })

  test.each([
    { type: 1, first: 0, head: '00000038 00000008', rows: [profiles.cd, core, removable, readable(1), cd(1)] },
    { type: 1, first: 4, head: '00000018 00000008', rows: [readable(1), cd(1)] },
    { type: 0, first: 0x1e, head: '00000010 00000008', rows: [cd(1), dvd(0)] },
    { type: 2, first: 3, head: '0000000c 00000008', rows: [removable] },
    { type: 2, first: 0x1f, head: '00000008 00000008', rows: [dvd(0)] },
    { type: 2, first: 4, head: '00000004 00000008', rows: [] },
  ])('of type $type from $first on', ({ type, first, head, rows }) => {
    expect(hex(cdPayloads.configuration(1, first, type))).toBe([head, ...rows].join(' '))
  })
})

test.each([
  [0x10, 0, { open: false, present: false }, '00060410 00000000'],
  [0x10, 2, { open: false, present: true }, '00060410 02020000'],
  [0xff, 1, { open: true, present: false }, '00060410 01010000'],
  [0x10, 3, { open: true, present: true }, '00060410 03030000'],
  [0xef, 2, { open: true, present: true }, '00028010'],
])('GET EVENT STATUS NOTIFICATION of classes %i, event %i, %o', (classes, event, state, expected) => {
  expect(hex(cdPayloads.eventStatus(classes, event, state))).toBe(expected)
})
