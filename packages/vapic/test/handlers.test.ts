/** Every helper of both ROMs, executed, against what the interface says. */
import { readFileSync } from 'node:fs'
import { debianMembers } from '@retrap/tooling/debian'
import { sliceTests } from '@retrap/tooling/slice'
import { beforeAll, describe, expect } from 'vitest'
import { VapicState } from '../src/index.ts'
import { buildVapicRom } from '../src/rom.ts'
import { Guest, TPR } from './support/guest.ts'

/** All of them, or one of so many parts where another file runs them once more. */
const test = sliceTests(Number(process.env['RETRAP_TEST_PARTS'] ?? 1))

const STOCK = './usr/share/qemu/kvmvapic.bin'
const folders = await debianMembers([{ package: 'qemu-system-data', members: [STOCK] }])

const address = [TPR & 255, (TPR >>> 8) & 255, (TPR >>> 16) & 255, TPR >>> 24]

const roms: readonly (readonly [string, () => Uint8Array])[] = [
  ['ours', buildVapicRom],
  ...(folders ?? []).map(
    (folder) => ['the stock one', () => new Uint8Array(readFileSync(`${folder}/${STOCK}`))] as const,
  ),
]

if (folders === undefined) test.skip('the stock ROM (skipped: its package cannot be fetched)')

/** A guest whose first access has made the patcher active. */
function activeGuest(rom: Uint8Array, vcpus: number): Guest {
  const guest = new Guest(vcpus)
  guest.loadRom(rom)
  expect(guest.patcher.state).toBe(VapicState.STANDBY)
  // mov eax, [tpr]
  guest.run([0xa1, ...address], undefined, 0x4_0000)
  expect(guest.patcher.state).toBe(VapicState.ACTIVE)
  guest.log.length = 0
  return guest
}

describe.each(roms)('%s', (name, image) => {
  let rom: Uint8Array
  beforeAll(() => {
    rom = image()
  })

  test('is an option ROM', () => {
    expect([rom[0], rom[1], (rom[2] as number) * 512]).toEqual([0x55, 0xaa, rom.length])
    expect(rom.reduce((sum, byte) => (sum + byte) & 255, 0)).toBe(0)
  })

  describe.each([
    ['one processor', 1],
    ['several processors', 4],
  ])('%s', (_count, vcpus) => {
    test.each([0, 1, 2, 3, 5, 6, 7])('mov r32, [tpr], register %i', (register) => {
      const guest = activeGuest(rom, vcpus)
      guest.board.load(guest.area, Uint8Array.of(0x5c))
      const code = [0x8b, 5 | (register << 3), ...address]
      const broken = name !== 'ours' && vcpus > 1 && register === 7
      // The first time the instruction is executed it is reported and patched; the second time it calls the helper.
      guest.tpr = 0x33
      const first = guest.run(code)
      expect(first[register]).toBe(0x33)
      expect(guest.patcher.sites.length).toBe(broken ? 1 : 2)
      guest.log.length = 0
      const patched = guest.patcher.sites.find(({ address: at }) => at === 0x8001_0000)
      const before = [1, 2, 3, 4, 0, 6, 7, 8]
      const calls = guest.patcher.helperCalls
      const after = guest.run(broken ? code : [...(patched as { patch: Uint8Array }).patch], before)
      expect(guest.patcher.helperCalls).toBe(name === 'ours' ? (calls ?? NaN) + 1 : undefined)
      expect(after[register]).toBe(broken ? 0x33 : 0x5c)
      after.forEach((value, index) => {
        if (index !== register && index !== 4) expect(value).toBe(before[index])
      })
      expect(guest.flagsNow() & 0x8d5).toBe(0x8d5)
      expect(guest.log.includes('read 4')).toBe(broken)
    })

    test('mov r32, esp is refused: there is no helper', () => {
      const guest = activeGuest(rom, vcpus)
      guest.run([0x8b, 0x25, ...address, 0xbc, 0, 0, 2, 0x80])
      expect(guest.patcher.sites).toHaveLength(1)
    })

    test('push dword [tpr]', () => {
      const guest = activeGuest(rom, vcpus)
      guest.board.load(guest.area, Uint8Array.of(0x77))
      const code = [0xff, 0x35, ...address, 0x5b]
      expect(guest.run(code)[3]).toBe(0)
      const { patch } = guest.patcher.sites[1] as { patch: Uint8Array }
      const calls = guest.patcher.helperCalls
      const after = guest.run([...patch, 0x5b])
      expect(guest.patcher.helperCalls).toBe(name === 'ours' ? (calls ?? NaN) + 1 : undefined)
      expect([after[0], after[3]]).toEqual([1, 0x77])
    })

    test.each([
      ['mov [tpr], eax', [0xa3, ...address]],
      ['mov [tpr], ecx', [0x89, 0x0d, ...address]],
      ['mov [tpr], edi', [0x89, 0x3d, ...address]],
      ['mov dword [tpr], imm32', [0xc7, 0x05, ...address, 0x41, 0, 0, 0]],
    ])('%s', (_text, code) => {
      const guest = activeGuest(rom, vcpus)
      const before = [0x41, 0x41, 3, 4, 0, 6, 7, 0x41]
      guest.run(code, before)
      expect(guest.tpr).toBe(0x41)
      expect(guest.log).toContain('write 4')
      guest.log.length = 0
      const { patch } = guest.patcher.sites[1] as { patch: Uint8Array }
      expect(patch).toHaveLength(code.length)
      // In service 30h, pending 50h: above both, so it polls.
      guest.board.load(guest.area, Uint8Array.of(0, 0x30, 0, 0x50))
      const calls = guest.patcher.helperCalls
      const after = guest.run([...patch], before)
      expect(guest.patcher.helperCalls).toBe(name === 'ours' ? (calls ?? NaN) + 1 : undefined)
      expect(after.filter((_, index) => index !== 4)).toEqual(before.filter((_, index) => index !== 4))
      expect(guest.flagsNow() & 0x8d5).toBe(0x8d5)
      expect(guest.read32(guest.area) & 0xff).toBe(0x41)
      expect(guest.log.filter((line) => line === 'poll')).toHaveLength(1)
      expect(guest.log).not.toContain('write 4')
      // In service 60h: no poll.
      guest.log.length = 0
      guest.board.load(guest.area, Uint8Array.of(0, 0x60, 0, 0x50))
      guest.run([...patch], before)
      expect(guest.log).not.toContain('poll')
      expect(guest.read32(guest.area)).toBe(0x5000_6041)
    })
  })
})

test.each([
  { at: 0, sites: 1 },
  { at: 11, sites: 1 },
  // The call ends beyond the bytes that are looked at.
  { at: 12, sites: 2 },
])('a helper that calls itself at its byte $at: $sites of two instructions are patched', ({ at, sites }) => {
  const code = [0x8b, 0x0d, ...address]
  const rom = buildVapicRom()
  const good = activeGuest(rom, 1)
  good.run(code)
  const { address: site, patch } = good.patcher.sites[1] as { address: number; patch: Uint8Array }
  // NOP and CALL.
  const relative = new DataView(patch.buffer, patch.byteOffset).getInt32(2, true)
  const helper = (site + patch.length + relative) & 0x3f_ffff
  const guest = activeGuest(rom, 1)
  const call = [0xe8, -(at + 5) & 0xff, 0xff, 0xff, 0xff]
  guest.board.load(helper, Uint8Array.from([...Array.from({ length: at }, () => 0x90), ...call]))
  guest.run(code)
  expect(guest.patcher.sites).toHaveLength(sites)
})
