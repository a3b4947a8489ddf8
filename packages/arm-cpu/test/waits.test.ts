import { describe, expect, test } from 'vitest'
import { exception } from './support/machine.ts'
import { atEl0, atEl1, atEl1With, vectorOf } from './support/el1.ts'

const WFI = 0xd503_207f
const WFE = 0xd503_205f
const SEV = 0xd503_209f
const SEVL = 0xd503_20bf
const ESB = 0xd503_221f
const HVC = 0xd400_00a2 // hvc #5
const LDXR = 0xc85f_7c20 // ldxr x0, [x1]
const WAITS_FOR_INTERRUPT = { reason: 'wait', until: 'interrupt' }
const WAITS_FOR_EVENT = { reason: 'wait', until: 'event' }
const HVC_SYNDROME = 0x5a00_0005

describe('WFI', () => {
  test('waits until an interrupt is signalled, masked or not', () => {
    const cpu = atEl1(WFI, HVC)
    expect([cpu.run(10), cpu.run(10)]).toEqual([WAITS_FOR_INTERRUPT, WAITS_FOR_INTERRUPT])
    expect([cpu.dormant, cpu.retired]).toEqual([true, 1])
    cpu.signalEvent()
    expect(cpu.dormant).toBe(true)
    cpu.setIrq(true)
    expect(cpu.dormant).toBe(false)
    expect(exception(cpu).syndrome).toBe(HVC_SYNDROME)
  })

  test('does not wait where an interrupt is pending', () => {
    const cpu = atEl1(WFI, HVC)
    cpu.setFiq(true)
    expect(exception(cpu).syndrome).toBe(HVC_SYNDROME)
  })

  test('returns behind itself from the interrupt that wakes it', () => {
    // msr daifclr, #2; wfi
    const cpu = atEl1(0xd503_42ff, WFI, HVC)
    expect(cpu.run(10)).toEqual(WAITS_FOR_INTERRUPT)
    cpu.setIrq(true)
    expect(vectorOf(cpu)).toBe('+280')
    expect(cpu.registers.get('elr_el1')).toBe(0x1008n)
  })

  test('stop ends the run, and the wait goes on: it wakes nobody', () => {
    const cpu = atEl1(WFI, HVC)
    cpu.run(10)
    cpu.stop()
    expect([cpu.dormant, cpu.run(10)]).toEqual([true, { reason: 'budget' }])
    expect(cpu.run(10)).toEqual(WAITS_FOR_INTERRUPT)
  })
})

describe('WFE', () => {
  test('waits for an event, which it takes', () => {
    const cpu = atEl1(SEVL, WFE, WFE, HVC)
    expect(cpu.run(10)).toEqual(WAITS_FOR_EVENT)
    expect(cpu.retired).toBe(3)
    cpu.setIrq(true)
    expect(cpu.run(10)).toEqual(WAITS_FOR_EVENT)
    cpu.signalEvent()
    expect(exception(cpu).syndrome).toBe(HVC_SYNDROME)
  })

  test('lets others run where the exclusive monitor waits for their store', () => {
    const cpu = atEl1(LDXR, WFE, HVC)
    cpu.registers.setX(1, 0x5000n)
    expect(cpu.run(10)).toEqual({ reason: 'pause' })
    expect(exception(cpu).syndrome).toBe(HVC_SYNDROME)
  })

  test('SEV tells the host, and is an event of its own processor', () => {
    const { cpu, host } = atEl1With(SEV, WFE, HVC)
    let sent = 0
    Object.assign(host, { eventSent: () => sent++ })
    expect(exception(cpu).syndrome).toBe(HVC_SYNDROME)
    expect(sent).toBe(1)
  })
})

describe('traps', () => {
  test.each([
    ['WFI of EL0', WFI, 16n, 0x07e0_0000n],
    ['WFE of EL0', WFE, 18n, 0x07e0_0001n],
    // dc zva, x0; dc civac, x0; ic ivau, x0
    ['DC ZVA of EL0', 0xd50b_7420, 14n, 0x6212_dc08n],
    ['DC CIVAC of EL0', 0xd50b_7e20, 26n, 0x6212_dc1cn],
    ['IC IVAU of EL0', 0xd50b_7520, 26n, 0x6212_dc0an],
  ])('%s is trapped to EL1 unless SCTLR_EL1 admits it', (_name, word, bit, syndrome) => {
    const cpu = atEl0(word, 0)
    cpu.registers.setX(0, 0x5000n)
    expect(vectorOf(cpu)).toBe('+400')
    expect(cpu.registers.get('esr_el1').toString(16)).toBe(syndrome.toString(16))
    const admitted = atEl0(word, 0)
    admitted.registers.setX(0, 0x5000n)
    admitted.registers.set('sctlr_el1', 1n << bit)
    const exit = admitted.run(2)
    if (word === WFI || word === WFE) expect(exit.reason).toBe('wait')
    else expect(admitted.registers.get('elr_el1')).toBe(0x1004n)
  })

  test.each([
    ['WFI with TWI', WFI, 13n, 'EL2 7e00000'],
    ['WFE with TWE', WFE, 14n, 'EL2 7e00001'],
    ['DC ZVA with TDZ', 0xd50b_7420, 28n, 'EL2 6212dc08'],
    ['DC CIVAC with TPCP', 0xd50b_7e20, 23n, 'EL2 6212dc1c'],
    ['IC IVAU with TPU', 0xd50b_7520, 24n, 'EL2 6212dc0a'],
  ])('%s is trapped to EL2', (_name, word, bit, result) => {
    const cpu = atEl1(word, HVC)
    cpu.registers.set('hcr_el2', cpu.registers.get('hcr_el2') | (1n << bit))
    expect(vectorOf(cpu)).toBe(result)
  })

  test('EL0 under its host is not kept waiting', () => {
    const cpu = atEl0(WFI, WFE, 0xd420_0000)
    cpu.registers.set('sctlr_el1', (1n << 16n) | (1n << 18n))
    cpu.registers.set('hcr_el2', cpu.registers.get('hcr_el2') | (1n << 27n))
    expect(vectorOf(cpu)).toBe('EL2 f2000000')
  })
})

test('ESB defers an SError that is masked', () => {
  // esb; mrs x0, disr_el1
  const cpu = atEl1(ESB, 0xd538_c120, HVC, HVC)
  cpu.registers.set('vsesr_el2', 0x123n)
  cpu.setSerror(true)
  exception(cpu)
  expect(cpu.registers.x(0)).toBe(0x8000_0123n)
  cpu.registers.pstate = 5
  expect(exception(cpu).syndrome).toBe(HVC_SYNDROME)
})
