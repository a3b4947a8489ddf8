import * as named from './named-registers.ts'
import type { Register, RegisterClass, RegisterOf } from './register.ts'

const byClass: ReadonlyMap<RegisterClass, readonly (Register | undefined)[]> = (() => {
  const map = new Map<RegisterClass, (Register | undefined)[]>()
  for (const register of Object.values(named) as readonly Register[]) {
    const known: (Register | undefined)[] = map.get(register.class) ?? []
    known[register.number] = register
    map.set(register.class, known)
  }
  return map
})()

/**
 * The register with this class and architectural number, for code that computes its registers.
 *
 * @param kind - its class
 * @param number - 0..31; 4..7 for `gp8High`, as in ModRM; 16..31 for `xmmHigh` and `ymmHigh`
 * @returns the register, or undefined for a number outside the class
 */
export function registerOf<Class extends RegisterClass>(kind: Class, number: number): RegisterOf<Class> | undefined {
  // The map holds under each class registers of that class.
  return byClass.get(kind)?.[number] as RegisterOf<Class> | undefined
}
