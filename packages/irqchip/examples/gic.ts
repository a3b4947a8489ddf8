// Two Arm processors: a device interrupts the first one, whose handler pokes the second.
import { GicV3, ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_SGI1R_EL1 } from '@retrap/irqchip/gic'

const gic = new GicV3({
  cpus: 2,
  signal: (cpu) => console.log('IRQ of vCPU', cpu, gic.irqPending(cpu) ? 'rises' : 'falls'),
})

gic.distributor.write(0x0000, 4, 3) // GICD_CTLR: both groups
gic.distributor.write(0x0084, 4, 1 << 8) // GICD_IGROUPR: INTID 40 in group 1
gic.distributor.write(0x0104, 4, 1 << 8) // GICD_ISENABLER
for (const cpu of [0, 1]) {
  const frames = cpu * 0x2_0000
  gic.redistributors.write(frames + 0x0014, 4, 0) // GICR_WAKER: awake
  gic.redistributors.write(frames + 0x1_0080, 4, 1) // GICR_IGROUPR0: SGI 0 in group 1
  gic.redistributors.write(frames + 0x1_0100, 4, 1) // GICR_ISENABLER0
  gic.writeSystemRegister(cpu, ICC_PMR_EL1, 0xff, 0)
  gic.writeSystemRegister(cpu, ICC_IGRPEN1_EL1, 1, 0)
}

const value = { lo: 0, hi: 0 }
gic.setLine(40, true)
gic.readSystemRegister(0, ICC_IAR1_EL1, value)
console.log('vCPU 0 takes INTID', value.lo)
gic.writeSystemRegister(0, ICC_SGI1R_EL1, 0b10, 0) // SGI 0 to affinity 0.0.0.1
gic.setLine(40, false)
gic.writeSystemRegister(0, ICC_EOIR1_EL1, value.lo, 0)
gic.readSystemRegister(1, ICC_IAR1_EL1, value)
console.log('vCPU 1 takes INTID', value.lo)
// Output:
// IRQ of vCPU 0 rises
// IRQ of vCPU 0 falls
// vCPU 0 takes INTID 40
// IRQ of vCPU 1 rises
// IRQ of vCPU 1 falls
// vCPU 1 takes INTID 0
