/** The scenarios that the reference asks for, by number and name. Its machine-level ones are the machine's to show. */
import { describe, expect, test } from 'vitest'
import { matches, word } from '../src/structure.ts'
import { findBackward, findInstruction, patchFor, VapicState } from '../src/index.ts'
import { buildVapicRom } from '../src/rom.ts'
import { CODE, Guest, KERNEL, KPCR, ROM_GPA, TPR } from './support/guest.ts'

const address = [TPR & 255, (TPR >>> 8) & 255, (TPR >>> 16) & 255, TPR >>> 24]
const rom = buildVapicRom()
const SITE = KERNEL + CODE

function standby(vcpus: number = 1): Guest {
  const guest = new Guest(vcpus)
  guest.loadRom(rom)
  return guest
}

function active(vcpus: number = 1): Guest {
  const guest = standby(vcpus)
  guest.run([0xa1, ...address], undefined, 0x4_0000)
  return guest
}

describe('test cases that the reference implies', () => {
  test.each([1, 4])('1. Each row and register becomes a call of the same length, %i processors', (vcpus) => {
    const forms = [
      [0xa1, ...address],
      [0xa3, ...address],
      [0xff, 0x35, ...address],
      [0xc7, 0x05, ...address, 0x20, 0, 0, 0],
      ...[0, 1, 2, 3, 5, 6, 7].flatMap((register) => [
        [0x89, 5 | (register << 3), ...address],
        [0x8b, 5 | (register << 3), ...address],
      ]),
    ]
    for (const form of forms) {
      const guest = standby(vcpus)
      guest.run([...form, 0xbc, 0, 0, 2, 0x80])
      expect(guest.patcher.save()).toMatchObject({ real_tpr_addr: TPR, rom_state: { real_tpr_addr: TPR } })
      const [site] = guest.patcher.sites
      expect(site?.address).toBe(SITE)
      expect(site?.patch).toHaveLength(form.length)
      expect(findInstruction(Uint8Array.from([...(site?.patch ?? []), 0, 0, 0, 0, 0]))).toBeUndefined()
    }
  })

  test('2. Operand page offset 0x84; ESP 0; RIP 0x7…: untouched', () => {
    expect(findInstruction(Uint8Array.of(0xa1, 0x84, 0, 0xfe, 0xff))).toBeUndefined()
    const guest = standby()
    // mov esp, 0; mov dword [tpr], 0
    guest.run([0xbc, 0, 0, 0, 0, 0xc7, 0x05, ...address, 0, 0, 0, 0])
    expect(guest.patcher.sites).toEqual([])
    const low = standby()
    low.registers = () => ({ eip: CODE, esp: 0x1000, fsBase: KERNEL + KPCR })
    low.run([0xa1, ...address])
    expect(low.patcher.sites).toEqual([])
    expect(low.patcher.counts).toMatchObject({ reports: 1, refused: 1, patched: 0 })
  })

  test('3. A patch across a page boundary drops both pages, with all vCPUs stopped; bytes that have changed stay', () => {
    const guest = standby()
    const dropped: string[] = []
    guest.dropCode = (...range: number[]) => {
      if ((range[0] as number) < ROM_GPA) dropped.push(`${range[0]?.toString(16)}+${range[1]} ${guest.stopped}`)
    }
    guest.run([0xc7, 0x05, ...address, 0x20, 0, 0, 0], undefined, CODE + 0xffc)
    expect(guest.patcher.sites).toHaveLength(1)
    expect(dropped).toEqual(['10ffc+4 1', '11000+6 1'])
    const other = standby()
    // Another vCPU has rewritten the instruction by the time that all are stopped.
    other.whileStopped = () => other.board.load(CODE, Uint8Array.of(0x90))
    other.run([0xa1, ...address])
    expect(other.patcher.sites).toEqual([])
    expect(other.stopped).toBe(0)
  })

  test('4. An EDI read with several processors survives', () => {
    const guest = active(4)
    guest.run([0x8b, 0x3d, ...address])
    expect(guest.patcher.sites).toHaveLength(2)
    guest.board.load(guest.area, Uint8Array.of(0x41))
    expect(guest.run([...(guest.patcher.sites[1]?.patch ?? [])])[7]).toBe(0x41)
  })

  test('5. ESP as a target is refused', () => {
    const guest = active()
    guest.run([0x8b, 0x25, ...address, 0xbc, 0, 0, 2, 0x80])
    expect(guest.patcher.sites).toHaveLength(1)
  })

  test('6. Looking backward: the longest first, held against the address that was accessed', () => {
    // mov dword [A3xxx080h], 80h looks like mov [80h], eax from its middle on.
    const bytes = Uint8Array.of(0xc7, 0x05, 0x80, 0x10, 0x00, 0xa3, 0x80, 0, 0, 0)
    const found = findBackward(bytes, 'write')
    expect(found.map(({ row, address: at }) => [row.length, at])).toEqual([
      [10, 0xa300_1080],
      [5, 0x80],
    ])
    const guest = standby()
    guest.board.load(CODE, Uint8Array.of(0xc7, 0x05, ...address, 0x80, 0, 0, 0))
    guest.registers = () => ({ eip: SITE + 10, esp: KERNEL + 0x2000, fsBase: KERNEL + KPCR })
    expect(guest.patcher.report(0, { access: 'write', gpa: 0xfee0_0080, behind: true })).toBe(true)
    expect(guest.patcher.sites[0]).toMatchObject({ address: SITE })
  })

  test('7. A pending interrupt that comes while the helper runs is not lost', () => {
    const guest = active()
    const { area } = guest
    guest.run([0xa3, ...address], [0x20])
    const { patch } = guest.patcher.sites[1] ?? { patch: [] }
    const step = guest.vcpu.step.bind(guest.vcpu)
    const polled: boolean[] = []
    for (let moment = 1; ; moment++) {
      guest.board.load(area, Uint8Array.of(0, 0, 0, 0))
      guest.log.length = 0
      let steps = 0
      // The APIC raises vector 50h then.
      guest.vcpu.step = () => {
        if (++steps === moment) guest.board.load(area + 3, Uint8Array.of(0x50))
        return step()
      }
      guest.run([...patch], [0x20])
      if (steps < moment) break
      expect(guest.read32(area)).toBe(0x5000_0020)
      polled.push(guest.log.includes('poll'))
    }
    guest.vcpu.step = step
    // Before the exchange it is seen; afterwards the APIC delivers it by itself.
    const last = polled.lastIndexOf(true)
    expect(last).toBeGreaterThan(0)
    expect(polled.slice(0, last).every(Boolean)).toBe(true)
    expect(polled.at(-1)).toBe(false)
  })

  test('8. Nested in service, and pending equal to the priority: no poll', () => {
    const guest = active()
    guest.run([0xa3, ...address], [0x20])
    const { patch } = guest.patcher.sites[1] ?? { patch: [] }
    for (const [tpr, isr, irr, polls] of [
      [0x20, 0x50, 0x50, false],
      [0x50, 0x20, 0x50, false],
      [0x50, 0x20, 0x51, true],
      [0x00, 0x40, 0x41, true],
    ] as const) {
      guest.log.length = 0
      guest.board.load(guest.area, Uint8Array.of(0, isr, 0, irr))
      guest.run([...patch], [tpr])
      expect([tpr, isr, irr, guest.log.includes('poll')]).toEqual([tpr, isr, irr, polls])
    }
  })

  test('9. After hibernation the byte write enables again; reset forgets', () => {
    const guest = active()
    const patched = guest.patcher.sites[0]?.patch ?? new Uint8Array()
    // Firmware has run again: a fresh ROM, and its announcement; the guest's memory, with its patches, is back.
    guest.patcher.reset()
    expect([guest.patcher.state, guest.reporting, guest.romWritable]).toEqual([VapicState.INACTIVE, false, undefined])
    guest.loadRom(rom)
    expect(guest.patcher.state).toBe(VapicState.STANDBY)
    guest.board.load(guest.area, Uint8Array.of(0x66))
    expect(guest.run([...patched], undefined, 0x4_0000)[0]).toBe(0x66)
    expect(guest.patcher.state).toBe(VapicState.ACTIVE)
    expect(guest.patcher.save().real_tpr_addr).toBe(TPR)
    // The OUT of that helper has become a no-operation: it is not trapped again.
    guest.log.length = 0
    guest.run([...patched], undefined, 0x4_0000)
    expect(guest.log).toEqual([])
  })

  test.each([
    ['7ffff080', 0x7_ffff, 0],
    ['80000080', 0x8_0000, 0x8000_0080],
    ['fffff080', 0xf_ffff, 0xffff_f080],
  ])('9. The byte write searches the pages from 80000000 up for the register: mapped at %s', (_, page, realTpr) => {
    const guest = standby()
    const eip = KERNEL + CODE
    guest.registers = () => ({ eip, esp: 0x1000, fsBase: KERNEL + KPCR })
    guest.translate = (_vcpu, linear) => {
      if (linear >>> 12 === page) return 0xfee0_0000 + (linear & 0xfff)
      return linear >= KERNEL && linear < KERNEL + 0x10_0000 ? linear - KERNEL : undefined
    }
    guest.patcher.portWrite(0, 1, 0)
    expect(guest.patcher.save()).toMatchObject({
      state: realTpr === 0 ? VapicState.STANDBY : VapicState.ACTIVE,
      real_tpr_addr: realTpr,
    })
    expect(guest.patcher.counts.refused).toBe(realTpr === 0 ? 1 : 0)
  })

  test.each([
    ['vmcall', [0x0f, 0x01, 0xc1]],
    ['vmmcall', [0x0f, 0x01, 0xd9]],
    ['port', [0x90, 0xe7, 0x7e]],
  ] as const)('10. Migrated to a processor that polls by %s', (method, bytes) => {
    for (const state of [VapicState.STANDBY, VapicState.ACTIVE]) {
      const from = state === VapicState.ACTIVE ? active() : standby()
      const saved = from.patcher.save()
      expect(saved.state).toBe(state)
      const to = new Guest()
      to.pollMethod = method
      to.board.memory.u8.set(
        from.board.memory.u8.subarray(from.board.ramMa, from.board.ramMa + 0x40_0000),
        to.board.ramMa,
      )
      to.patcher.restore(saved)
      expect([to.patcher.state, to.reporting]).toEqual([state, true])
      const image = new Uint8Array(rom.length)
      to.readPhysical(ROM_GPA, image)
      const sites = [...image.keys()].filter((at) =>
        [0xb8, 1, 0, 0, 0, ...bytes].every((byte, i) => image[at + i] === byte),
      )
      expect(sites).toHaveLength(2)
      // What is patched goes on working.
      to.board.load(to.area, Uint8Array.of(0, 0, 0, 0x50))
      to.run([0xa3, ...address], [0x20])
      const patch = to.patcher.sites.at(-1)?.patch ?? new Uint8Array()
      to.log.length = 0
      if (method !== 'vmmcall') {
        to.run([...patch], [0x20])
        expect(to.log.filter((line) => line === 'poll')).toHaveLength(1)
      }
    }
  })

  test('10. A ROM with a third poll site, in its last bytes, is not one that can be migrated', () => {
    const saved = standby().patcher.save()
    const states = [0, 1].map((extra) => {
      const to = new Guest()
      to.pollMethod = 'vmmcall'
      const image = rom.slice()
      if (extra === 1) image.set([0xb8, 1, 0, 0, 0, 0x0f, 0x01, 0xc1], image.length - 8)
      to.board.load(ROM_GPA, image)
      to.patcher.restore(saved)
      return to.patcher.state
    })
    expect(states).toEqual([VapicState.STANDBY, VapicState.INACTIVE])
  })

  test('11. The first access of processor 1, after processor 0 has patched, enables its record', () => {
    const guest = active(4)
    expect([guest.patcher.isEnabled(0), guest.patcher.isEnabled(1)]).toEqual([true, false])
    guest.setKpcr(1)
    // The helper, on a processor whose record is not enabled, reads the real register by mov eax, [eax].
    guest.registers = () => ({ eip: KERNEL + ROM_GPA + 0x189, esp: KERNEL + 0x2000, fsBase: KERNEL + KPCR })
    expect(guest.patcher.report(1, { access: 'read', gpa: 0xfee0_0080 })).toBe(false)
    expect(guest.patcher.isEnabled(1)).toBe(true)
    expect(guest.patcher.recordOf(1)).toBe(guest.area + 128)
    expect(guest.read32(guest.area + 128 + 4) & 1).toBe(1)
  })

  test('10a. Migrated with several processors, every record is disabled until its processor comes in again', () => {
    const from = active(4)
    from.board.load(from.area + 128, Uint8Array.of(0, 0, 0, 0, 1))
    const saved = from.patcher.save()
    const to = new Guest(4)
    to.board.memory.u8.set(
      from.board.memory.u8.subarray(from.board.ramMa, from.board.ramMa + 0x40_0000),
      to.board.ramMa,
    )
    to.patcher.restore(saved)
    const records = new Uint8Array(4 * 128)
    to.readPhysical(from.area, records)
    expect([...new Set(records)]).toEqual([0])
    // What lies before the records is as it was.
    expect([from, to].map((guest) => guest.read32(from.area - 4))).toEqual(Array(2).fill(from.read32(from.area - 4)))
  })

  test('12. FS is no KPCR: refused, with one processor too', () => {
    for (const vcpus of [1, 4]) {
      const guest = standby(vcpus)
      guest.write32(KPCR + 0x1c, 0)
      guest.run([0xa1, ...address])
      expect([guest.patcher.sites.length, guest.patcher.state]).toEqual([0, VapicState.STANDBY])
    }
  })

  test('13. Malicious announcements are refused', () => {
    const forge = (change: (image: Uint8Array, view: DataView) => void): Guest => {
      const guest = new Guest()
      const image = rom.slice()
      change(image, new DataView(image.buffer))
      guest.loadRom(image)
      guest.run([0xa1, ...address])
      return guest
    }
    const announcedAt = (offset: number): Guest => {
      const guest = new Guest()
      guest.board.load(ROM_GPA, rom)
      guest.registers = () => ({ eip: ROM_GPA + 3, esp: 0, fsBase: 0 })
      guest.patcher.portWrite(0, 2, offset)
      return guest
    }
    for (const offset of [rom.length, rom.length - 0x7b, 0xffff, 0x24])
      expect(announcedAt(offset).patcher.state).toBe(VapicState.INACTIVE)
    expect(announcedAt(0x20).patcher.state).toBe(VapicState.STANDBY)
    // Size byte 0; the fixup table outside, reversed, or naming addresses outside; the area outside.
    const size = forge((image) => (image[2] = 0))
    expect(size.patcher.state).toBe(VapicState.INACTIVE)
    for (const guest of [
      forge((_image, view) => view.setUint32(0x2c, 0xffff_0000, true)),
      forge((_image, view) => view.setUint32(0x30, 0x100, true)),
      forge((_image, view) => view.setUint32(view.getUint32(0x2c, true), 0x0010_0000, true)),
      forge((_image, view) => view.setUint32(0x34, rom.length - 0x400, true)),
      forge((_image, view) => view.setUint32(0x38, 0xffff_ffff, true)),
    ]) {
      expect([guest.patcher.sites.length, guest.patcher.state]).toEqual([0, VapicState.STANDBY])
      expect(guest.log.filter((line) => line.startsWith('patch') || line.startsWith('rom'))).toEqual([])
    }
    // A helper outside the ROM is none.
    const helper = forge((_image, view) => view.setUint32(0x6c, 0x0020_0000, true))
    expect(helper.patcher.sites).toHaveLength(1)
    helper.run([0xff, 0x35, ...address, 0x5b])
    expect(helper.patcher.sites).toHaveLength(1)
  })

  test('14. The call displacement wraps at 4 GiB', () => {
    const found = findInstruction(Uint8Array.of(0xa1, ...address))
    if (found === undefined) throw new Error('no instruction')
    expect([...patchFor(found, 0xffff_fff0, 0x1000)]).toEqual([0xe8, 0x0b, 0x10, 0, 0])
    expect([...patchFor(found, 0x1000, 0xffff_fff0)]).toEqual([0xe8, 0xeb, 0xef, 0xff, 0xff])
  })
})

describe('bounds', () => {
  const forged = (change: (view: DataView) => void): Guest => {
    const guest = new Guest()
    const image = rom.slice()
    change(new DataView(image.buffer))
    guest.loadRom(image)
    guest.run([0xa1, ...address])
    return guest
  }
  const STRUCTURE = 0x20
  const lastFixup = new DataView(rom.buffer).getUint32(STRUCTURE + 0x10, true) - 4

  test.each([
    ['its last address ends with the ROM', 4, true],
    ['its last address ends one byte behind the ROM', 3, false],
  ])('a fixup table: %s', (_text, before, works) => {
    // The word at the ROM's end is in the last record: any value may be moved there.
    const guest = forged((view) => view.setUint32(lastFixup, rom.length - before - STRUCTURE, true))
    expect(guest.patcher.state).toBe(works ? VapicState.ACTIVE : VapicState.STANDBY)
  })

  test.each([
    ['end with the ROM', 0, VapicState.ACTIVE],
    ['end one byte behind the ROM', 1, VapicState.STANDBY],
  ])('records that %s', (_text, more, state) => {
    const guest = forged((view) => view.setUint32(STRUCTURE + 0x18, 0x2000 + more, true))
    expect(guest.patcher.state).toBe(state)
  })

  test('a guest whose ESP is 0 is not patched: the push would fault', () => {
    const guest = standby()
    guest.board.load(CODE, Uint8Array.of(0xa3, ...address))
    for (const [esp, patched] of [
      [0, false],
      [4, true],
    ] as const) {
      guest.registers = () => ({ eip: SITE, esp, fsBase: KERNEL + KPCR })
      expect(guest.patcher.report(0, { access: 'write', gpa: 0xfee0_0080 })).toBe(patched)
    }
  })

  test('an instruction at another address than the one that was accessed is not patched', () => {
    const guest = standby()
    guest.board.load(CODE, Uint8Array.of(0xa3, ...address))
    guest.registers = () => ({ eip: SITE, esp: KERNEL + 0x2000, fsBase: KERNEL + KPCR })
    expect(guest.patcher.report(0, { access: 'write', gpa: 0xfee0_1080 })).toBe(false)
    expect(guest.patcher.report(0, { access: 'read', gpa: 0xfee0_0080 })).toBe(false)
    expect(guest.patcher.sites).toEqual([])
  })

  test.each([
    ['a segment prefix', [0x64, 0xa3, ...address]],
    ['an address by SIB', [0x89, 0x04, 0x25, ...address]],
    ['16 bits', [0x66, 0xa3, ...address]],
    ['8 bits', [0xa2, ...address]],
    ['LOCK', [0xf0, 0x89, 0x0d, ...address]],
    ['a base register', [0x89, 0x88, ...address]],
  ])('%s: no instruction that is patched', (_text, bytes) => {
    expect(findInstruction(Uint8Array.from([...bytes, 0, 0, 0, 0]))).toBeUndefined()
  })
})

test('more processors than the area has records are refused, not overrun', () => {
  const guest = active(4)
  guest.setKpcr(64)
  guest.registers = () => ({ eip: KERNEL + ROM_GPA + 0x189, esp: KERNEL + 0x2000, fsBase: KERNEL + KPCR })
  guest.log.length = 0
  guest.patcher.report(2, { access: 'read', gpa: 0xfee0_0080 })
  expect([guest.patcher.isEnabled(2), guest.log]).toEqual([false, []])
})

test('patches are taken back, and what the guest has changed is left', () => {
  const guest = active()
  guest.run([0xa3, ...address])
  expect(guest.patcher.sites).toHaveLength(2)
  guest.board.load(0x4_0000, Uint8Array.of(0x90))
  expect(guest.patcher.unpatch(0)).toBe(1)
  const bytes = new Uint8Array(5)
  guest.readPhysical(CODE, bytes)
  expect([...bytes]).toEqual([0xa3, ...address])
  expect(guest.patcher.sites.map((site) => site.address)).toEqual([KERNEL + 0x4_0000])
})

describe('un-patching', () => {
  /** A guest whose `mov [tpr], ecx` is PUSH ECX and a call now. */
  const pushed = (): Guest => {
    const guest = active()
    guest.run([0x89, 0x0d, ...address])
    expect(guest.patcher.sites).toHaveLength(2)
    return guest
  }
  const registers = (eip: number) => ({ eip, esp: KERNEL + 0x2000, fsBase: KERNEL + KPCR })

  test('waits for a vCPU between the push and the call', () => {
    const guest = pushed()
    guest.registers = () => registers(SITE + 1)
    expect(guest.patcher.unpatch(0)).toBe(1)
    expect(guest.patcher.sites.map((site) => site.address)).toEqual([SITE])
    guest.registers = () => registers(SITE)
    expect(guest.patcher.unpatch(0)).toBe(0)
  })

  test('waits for what will return there from an interrupt', () => {
    const guest = pushed()
    guest.write32(0x1_8000, SITE + 1)
    expect(guest.patcher.unpatch(0)).toBe(1)
    guest.write32(0x1_8000, 0)
    expect(guest.patcher.unpatch(0)).toBe(0)
  })

  test('waits for helpers: for a vCPU in one, and for what will return into one', () => {
    const guest = pushed()
    const [site] = guest.patcher.sites
    const helper = KERNEL + ROM_GPA + 0x150
    guest.registers = () => registers(helper)
    expect(guest.patcher.unpatch(0)).toBe(1)
    // The instructions are back by then.
    expect(guest.patcher.sites).toEqual([])
    expect([guest.patcher.state, guest.records.size]).toEqual([VapicState.ACTIVE, 1])
    guest.registers = () => registers(site?.address ?? 0)
    guest.write32(0x1_8000, helper + 7)
    expect(guest.patcher.unpatch(0)).toBe(1)
    guest.write32(0x1_8000, 0)
    expect(guest.patcher.unpatch(0)).toBe(0)
    expect([guest.patcher.state, guest.records.size]).toEqual([VapicState.INACTIVE, 0])
  })

  test('gives the priority back to the local APIC, and leaves the guest alone from then on', () => {
    const guest = pushed()
    const { area } = guest
    expect([...guest.records]).toEqual([[0, area]])
    expect(guest.patcher.unpatch(0)).toBe(0)
    expect([...guest.records]).toEqual([])
    expect([guest.patcher.state, guest.reporting, guest.romWritable]).toEqual([VapicState.INACTIVE, false, undefined])
    expect(guest.read32(area + 4) & 1).toBe(0)
    guest.run([0xa3, ...address], [0x20])
    expect([guest.tpr, guest.patcher.sites.length]).toEqual([0x20, 0])
  })

  test('patches nothing more while some sites are left', () => {
    const guest = pushed()
    guest.write32(0x1_8000, SITE + 1)
    expect(guest.patcher.unpatch(0)).toBe(1)
    guest.run([0xa3, ...address], [0x20], 0x4_2000)
    expect(guest.patcher.sites.map((site) => site.address)).toEqual([SITE])
  })
})

test.each([1, 4])('helpers of our own ROM count their calls, %i processors', (vcpus) => {
  const guest = active(vcpus)
  guest.run([0xa3, ...address], [0x20])
  guest.run([0xff, 0x35, ...address, 0x5b], undefined, 0x4_1000)
  expect(guest.patcher.helperCalls).toBe(0)
  const [, set, push] = guest.patcher.sites
  guest.run([...(set?.patch ?? [])])
  guest.run([...(set?.patch ?? [])])
  guest.run([...(push?.patch ?? []), 0x5b], undefined, 0x4_1000)
  expect(guest.patcher.helperCalls).toBe(3)
})

test('a ROM is written to only where something changes', () => {
  const guest = active()
  guest.log.length = 0
  guest.run([0xa3, ...address], [0x20])
  expect(guest.log.filter((line) => line.startsWith('rom'))).toEqual([`rom ${(guest.area + 4).toString(16)}+1`])
})

test('a word is four bytes, little-endian, and bytes beyond the end are 0', () => {
  const bytes = Uint8Array.of(0x11, 0x22, 0x33, 0x84)
  expect([0, 1, 2, 3, 4].map((at) => word(bytes, at))).toEqual([0x8433_2211, 0x84_3322, 0x8433, 0x84, 0])
  expect([matches(bytes, 1, [0x22, 0x33]), matches(bytes, 2, [0x33, 0x84, 0]), matches(bytes, 1, [])]).toEqual([
    ...[true, false, true],
  ])
})

test.each([0xd_0000, 0xd_1800])('a ROM at %i is mapped writable by whole pages', (gpa) => {
  const guest = standby()
  // The same ROM, announced by firmware that has put it elsewhere.
  guest.board.load(gpa, rom)
  const structure = guest.patcher.save().rom_state_paddr - ROM_GPA
  guest.registers = () => ({ eip: gpa + 0x100, esp: 0x1000, fsBase: 0 })
  guest.patcher.portWrite(0, 2, structure)
  const first = gpa - (gpa % 0x1000)
  const end = Math.ceil((gpa + rom.length) / 0x1000) * 0x1000
  expect(guest.romWritable).toEqual({ gpa: first, bytes: end - first })
})

test('requests that cannot be met are counted as refused: without a ROM, without one at its place, of another size', () => {
  const { patcher } = new Guest(1)
  const refused = [1, 2, 3, 8].map((size) => {
    patcher.portWrite(0, size, 0)
    return patcher.counts.refused
  })
  expect(refused).toEqual([1, 2, 3, 4])
  patcher.portWrite(0, 4, 0)
  expect(patcher.counts).toEqual({ reports: 0, patched: 0, polls: 1, refused: 4 })
})
