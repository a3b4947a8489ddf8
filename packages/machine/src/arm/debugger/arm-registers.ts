import { type ArmRegisters, SYSTEM_REGISTERS, type SystemRegisterName } from '@retrap/arm-cpu'

/** System registers that nothing but their readers depends on. */
const WRITABLE: ReadonlySet<string> = new Set([
  'contextidr_el1',
  'elr_el1',
  'esr_el1',
  'far_el1',
  'par_el1',
  'sp_el0',
  'sp_el1',
  'tpidrro_el0',
  'tpidr_el0',
  'tpidr_el1',
  'vbar_el1',
])

/** Names of system registers as gdb sees them, which are the manual's. */
export const ARM_SYSTEM_NAMES: readonly string[] = SYSTEM_REGISTERS.map((name) => name.toUpperCase())

const BY_NAME: ReadonlyMap<string, SystemRegisterName> = new Map(
  SYSTEM_REGISTERS.map((name) => [name.toUpperCase(), name]),
)

/** The bits that FPCR and FPSR have (Arm ARM, C5.2). */
const FPCR_BITS = 0x07c8_0000n
const FPSR_BITS = 0xf800_009fn

const NUMBERED = /^([xv])(\d|[12]\d|3[01])$/

/** Reads a register of a processor that stands still; undefined for a name that does not exist. */
export function readArmRegister(registers: ArmRegisters, name: string): bigint | undefined {
  const [, file, number] = NUMBERED.exec(name) ?? []
  if (file === 'v') return registers.v(Number(number))
  if (file === 'x') return number === '31' ? undefined : registers.x(Number(number))
  switch (name) {
    case 'sp':
      return registers.sp
    case 'pc':
      return registers.pc
    case 'cpsr':
      return BigInt((registers.pstate | registers.nzcv) >>> 0)
    case 'fpcr':
      return BigInt(registers.fpcr)
    case 'fpsr':
      return BigInt(registers.fpsr)
    default: {
      const system = BY_NAME.get(name)
      return system === undefined ? undefined : registers.get(system)
    }
  }
}

/** Writes a register. @returns false for an unknown register or an impossible value */
export function writeArmRegister(registers: ArmRegisters, name: string, value: bigint): boolean {
  const [, file, number] = NUMBERED.exec(name) ?? []
  if (file === 'v') registers.setV(Number(number), value)
  else if (file === 'x' && number !== '31') registers.setX(Number(number), value)
  else if (name === 'sp') registers.sp = value
  else if (name === 'pc') registers.pc = value
  else if (name === 'fpcr') registers.fpcr = Number(value & FPCR_BITS)
  else if (name === 'fpsr') registers.fpsr = Number(value & FPSR_BITS)
  else if (name === 'cpsr') return writeStatus(registers, Number(value))
  else {
    const system = BY_NAME.get(name)
    if (system === undefined || !WRITABLE.has(system)) return false
    registers.set(system, value)
  }
  return true
}

function writeStatus(registers: ArmRegisters, value: number): boolean {
  try {
    registers.pstate = value & 0x0fff_ffff
  } catch (error) {
    // The processor has no such register.
    if (error instanceof RangeError) return false
    throw error
  }
  registers.nzcv = (value & 0xf000_0000) >>> 0
  return true
}
