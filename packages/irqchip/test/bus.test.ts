import { describe, expect, test } from 'vitest'
import * as index from '../src/index.ts'
import { type InterruptFabric } from '../src/index.ts'
import { makeFabric } from './machine.ts'

/** Which of the vCPUs have vector 0x51 pending, and takes it. */
function reached(fabric: InterruptFabric): number[] {
  return fabric.localApics.flatMap((apic, cpu) => {
    let got = false
    while (apic.hasInterrupt()) {
      if (apic.acknowledge() === 0x51) got = true
      if (apic.x2apic) apic.writeMsr(0x80b, 0, 0)
      else apic.write(index.APIC_EOI, 0)
    }
    return got ? [cpu] : []
  })
}
const LOGICAL = 1 << 11

describe('which local APICs an xAPIC IPI reaches (SDM vol. 3A, "Determining IPI Destination")', () => {
  // Flat: LDR bit = CPU; cluster: two clusters of four.
  const rows: { model: 'flat' | 'cluster'; logical: boolean; destination: number; cpus: number[] }[] = [
    { model: 'flat', logical: false, destination: 0, cpus: [0] },
    { model: 'flat', logical: false, destination: 3, cpus: [3] },
    { model: 'flat', logical: false, destination: 8, cpus: [] },
    { model: 'flat', logical: false, destination: 0xff, cpus: [0, 1, 2, 3, 4, 5, 6, 7] },
    { model: 'flat', logical: true, destination: 0x01, cpus: [0] },
    { model: 'flat', logical: true, destination: 0x81, cpus: [0, 7] },
    { model: 'flat', logical: true, destination: 0, cpus: [] },
    { model: 'flat', logical: true, destination: 0xff, cpus: [0, 1, 2, 3, 4, 5, 6, 7] },
    { model: 'cluster', logical: true, destination: 0x01, cpus: [0] },
    { model: 'cluster', logical: true, destination: 0x0f, cpus: [0, 1, 2, 3] },
    { model: 'cluster', logical: true, destination: 0x1a, cpus: [5, 7] },
    { model: 'cluster', logical: true, destination: 0x2f, cpus: [] },
    { model: 'cluster', logical: true, destination: 0xf1, cpus: [0, 4] },
    { model: 'cluster', logical: true, destination: 0xff, cpus: [0, 1, 2, 3, 4, 5, 6, 7] },
    { model: 'cluster', logical: false, destination: 5, cpus: [5] },
  ]
  test.each(rows)('$model, logical $logical, $destination: $cpus', ({ model, logical, destination, cpus }) => {
    const { fabric, woken } = makeFabric({ cpus: 8 })
    fabric.localApics.forEach((apic, cpu) => {
      apic.write(index.APIC_DFR, model === 'flat' ? 0xffff_ffff : 0x0fff_ffff)
      apic.write(index.APIC_LDR, (model === 'flat' ? 1 << cpu : ((cpu >> 2) << 4) | (1 << (cpu & 3))) << 24)
    })
    const apic = fabric.localApic(2)
    apic.write(index.APIC_ICR2, destination << 24)
    apic.write(index.APIC_ICR, 0x4051 | (logical ? LOGICAL : 0))
    expect(woken).toEqual(cpus)
    expect(reached(fabric)).toEqual(cpus)
  })

  test.each([
    { shorthand: 1, name: 'self', cpus: [1] },
    { shorthand: 2, name: 'all', cpus: [0, 1, 2, 3] },
    { shorthand: 3, name: 'all but self', cpus: [0, 2, 3] },
  ])('shorthand $name, whatever the destination says', ({ shorthand, cpus }) => {
    const { fabric } = makeFabric({ cpus: 4 })
    fabric.localApic(1).write(index.APIC_ICR2, 0)
    fabric.localApic(1).write(index.APIC_ICR, 0x4051 | (shorthand << 18))
    expect(reached(fabric)).toEqual(cpus)
  })
})

describe('which local APICs an x2APIC IPI reaches', () => {
  const rows: { logical: boolean; destination: number; ids: number[] }[] = [
    { logical: false, destination: 0x00, ids: [0x00] },
    { logical: false, destination: 0x11, ids: [0x11] },
    { logical: false, destination: 0xff, ids: [] },
    { logical: false, destination: 0x1234, ids: [0x1234] },
    { logical: false, destination: 0xffff_ffff, ids: [0x00, 0x01, 0x11, 0x1234] },
    { logical: true, destination: 0x0000_0003, ids: [0x00, 0x01] },
    { logical: true, destination: 0x0001_0002, ids: [0x11] },
    { logical: true, destination: 0x0123_0010, ids: [0x1234] },
    { logical: true, destination: 0x0123_ffef, ids: [] },
    { logical: true, destination: 0xffff_ffff, ids: [0x00, 0x01, 0x11, 0x1234] },
  ]
  test.each(rows)('logical $logical, $destination: IDs $ids', ({ logical, destination, ids }) => {
    const apicIds = [0x00, 0x01, 0x11, 0x1234]
    const { fabric } = makeFabric({ cpus: 4, apicIds })
    for (const apic of fabric.localApics) expect(apic.setApicBase((apic.apicBaseLo | 0xc00) >>> 0, 0)).toBe(true)
    expect(fabric.localApic(0).writeMsr(0x830, 0x4051 | (logical ? LOGICAL : 0), destination)).toBe(true)
    expect(reached(fabric).map((cpu) => apicIds[cpu])).toEqual(ids)
  })

  test('the logical ID is derived from the APIC ID', () => {
    const { fabric } = makeFabric({ cpus: 2, apicIds: [0, 0x1234] })
    const apic = fabric.localApic(1)
    apic.setApicBase(0xfee0_0c00, 0)
    const into = { lo: 0, hi: 0 }
    expect([apic.readMsr(0x80d, into), into.lo]).toEqual([true, 0x0123_0010])
    expect([apic.readMsr(0x802, into), into.lo]).toEqual([true, 0x1234])
  })

  test('self IPI', () => {
    const { fabric } = makeFabric({ cpus: 2 })
    const apic = fabric.localApic(1)
    apic.setApicBase(0xfee0_0c00, 0)
    expect(apic.writeMsr(0x83f, 0x51, 0)).toBe(true)
    expect(reached(fabric)).toEqual([1])
    apic.writeMsr(0x83f, 0x0f, 0)
    apic.writeMsr(0x828, 0, 0)
    const into = { lo: 0, hi: 0 }
    apic.readMsr(0x828, into)
    expect(into.lo).toBe(0x20)
  })
})

describe('delivery modes of the ICR', () => {
  const rows: { name: string; icr: number; got: string }[] = [
    { name: 'fixed', icr: 0x0051, got: 'interrupt' },
    { name: 'SMI', icr: 0x0200, got: 'smi' },
    { name: 'reserved', icr: 0x0300, got: '' },
    { name: 'NMI', icr: 0x0400, got: 'nmi' },
    { name: 'INIT', icr: 0x4500, got: 'init' },
    { name: 'INIT, level, assert', icr: 0xc500, got: 'init' },
    { name: 'INIT, level, de-assert', icr: 0x8500, got: '' },
    { name: 'start-up', icr: 0x069a, got: 'sipi 9a' },
    { name: 'ExtINT, which a processor cannot send', icr: 0x0700, got: '' },
  ]
  test.each(rows)('$name', ({ icr, got }) => {
    const { fabric } = makeFabric({ cpus: 2 })
    const [source, target] = [fabric.localApic(0), fabric.localApic(1)]
    source.write(index.APIC_ICR2, 1 << 24)
    source.write(index.APIC_ICR, icr)
    const seen: string[] = []
    if (target.hasInterrupt()) seen.push('interrupt')
    if (target.takeSmi()) seen.push('smi')
    if (target.takeNmi()) seen.push('nmi')
    if (target.takeInit()) seen.push('init')
    const sipi = target.takeSipi()
    if (sipi >= 0) seen.push(`sipi ${sipi.toString(16)}`)
    expect(seen.join()).toBe(got)
    expect(source.events()).toBe(0)
  })

  test('lowest priority goes to the lowest PPR; equals take turns; disabled APICs take no part', () => {
    const { fabric } = makeFabric({ cpus: 4 })
    const [zero, one, two, three] = fabric.localApics
    one!.write(index.APIC_TPR, 0x20)
    zero!.write(index.APIC_TPR, 0x40)
    two!.write(index.APIC_TPR, 0x20)
    three!.write(index.APIC_SVR, 0xff)
    const hit: number[] = []
    for (let i = 0; i < 4; i++) {
      zero!.write(index.APIC_ICR2, 0xff00_0000)
      zero!.write(index.APIC_ICR, 0x0151)
      hit.push(...reached(fabric))
    }
    expect(hit).toEqual([1, 2, 1, 2])
  })

  test('an illegal vector is not sent', () => {
    const { fabric } = makeFabric({ cpus: 2 })
    const [source, target] = [fabric.localApic(0), fabric.localApic(1)]
    source.write(index.APIC_ICR2, 1 << 24)
    source.write(index.APIC_ICR, 0x000f)
    source.write(index.APIC_ESR, 0)
    target.write(index.APIC_ESR, 0)
    expect([source.read(index.APIC_ESR), target.read(index.APIC_ESR)]).toEqual([0x20, 0])
  })

  test('an APIC that is off hears nothing', () => {
    const { fabric } = makeFabric({ cpus: 2 })
    fabric.localApic(1).setApicBase(0xfee0_0000, 0)
    fabric.localApic(0).write(index.APIC_ICR, 0x4400 | (3 << 18))
    expect(fabric.localApic(1).takeNmi()).toBe(false)
  })
})

describe('message-signalled interrupts (SDM vol. 3A, "Message Signalled Interrupts")', () => {
  const rows: { address: number; data: number; cpus: number[]; name: string }[] = [
    { name: 'physical', address: 0xfee0_2000, data: 0x51, cpus: [2] },
    { name: 'physical, everybody', address: 0xfeef_f000, data: 0x51, cpus: [0, 1, 2, 3] },
    { name: 'logical', address: 0xfee0_a004, data: 0x51, cpus: [1, 3] },
    { name: 'lowest priority', address: 0xfee0_f004, data: 0x0151, cpus: [1] },
    { name: 'redirection hint', address: 0xfee0_f00c, data: 0x51, cpus: [1] },
    { name: 'no message address', address: 0xfed0_0000, data: 0x51, cpus: [] },
    { name: 'reserved mode', address: 0xfee0_2000, data: 0x0351, cpus: [] },
  ]
  test.each(rows)('$name', ({ address, data, cpus }) => {
    const { fabric } = makeFabric({ cpus: 4 })
    fabric.localApics.forEach((apic, cpu) => {
      apic.write(index.APIC_LDR, 1 << (24 + cpu))
      apic.write(index.APIC_TPR, cpu === 1 ? 0x10 : 0x20)
    })
    expect(fabric.signalMsi(address, data)).toBe(cpus.length > 0)
    expect(reached(fabric)).toEqual(cpus)
  })

  test('NMI by message', () => {
    const { fabric } = makeFabric({ cpus: 2 })
    fabric.signalMsi(0xfee0_1000, 0x0400)
    expect(fabric.localApic(1).takeNmi()).toBe(true)
  })
})
