/** Condition codes: the name in the decoder's table, then the others that the manuals give it. */
const CONDITIONS: readonly (readonly string[])[] = [
  ['B', 'C', 'NAE'],
  ['AE', 'NB', 'NC'],
  ['E', 'Z'],
  ['NE', 'NZ'],
  ['BE', 'NA'],
  ['A', 'NBE'],
  ['P', 'PE'],
  ['NP', 'PO'],
  ['L', 'NGE'],
  ['GE', 'NL'],
  ['LE', 'NG'],
  ['G', 'NLE'],
]

/** Mnemonics that end with a condition code. CCMP and CTEST have no parity, so some of their aliases stand for nothing. */
const CONDITIONAL: readonly string[] = ['J', 'SET', 'SETZU', 'CMOV', 'CFCMOV', 'CCMP', 'CTEST']

/** Other names that the manuals give an instruction. */
const NAMES: readonly (readonly [string, string])[] = [
  ['SAL', 'SHL'],
  ['LOOPZ', 'LOOPE'],
  ['LOOPNZ', 'LOOPNE'],
  ['WAIT', 'FWAIT'],
  ['ICEBP', 'INT1'],
  ['RETN', 'RET'],
  ['XLAT', 'XLATB'],
  ['IRETW', 'IRET'],
  ['PUSHFW', 'PUSHF'],
  ['POPFW', 'POPF'],
  ['PUSHAW', 'PUSHA'],
  ['POPAW', 'POPA'],
]

/** The closed list of aliases: name, in capitals, to the name that the table has. */
export const aliasesOf: ReadonlyMap<string, string> = new Map([
  ...NAMES,
  ...CONDITIONS.flatMap(([main = '', ...others]) =>
    others.flatMap((other) => CONDITIONAL.map((stem): [string, string] => [stem + other, stem + main])),
  ),
])

/**
 * Mnemonics that the manuals give to the 16-bit form alone, but which everyone writes for the size that the mode has.
 * They stand for all sizes here, and with a `W` for the 16-bit form.
 */
export const sizesOf: ReadonlyMap<string, readonly string[]> = new Map([
  ['IRET', ['IRET', 'IRETD', 'IRETQ']],
  ['PUSHF', ['PUSHF', 'PUSHFD', 'PUSHFQ']],
  ['POPF', ['POPF', 'POPFD', 'POPFQ']],
  ['PUSHA', ['PUSHA', 'PUSHAD']],
  ['POPA', ['POPA', 'POPAD']],
])
