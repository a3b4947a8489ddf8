/**
 * The ID registers, field by field: what the processor promises. What a register has no field for is 0.
 *
 * Source: Arm ARM (DDI 0487) D24.2, "General system control registers".
 */

/** Register, field, its lowest bit, its value. */
const FIELDS = `
id_aa64pfr0_el1   EL0        0   1
id_aa64pfr0_el1   EL1        4   1
id_aa64pfr0_el1   FP         16  1
id_aa64pfr0_el1   AdvSIMD    20  1
id_aa64pfr0_el1   GIC        24  1
id_aa64pfr0_el1   RAS        28  1
id_aa64pfr0_el1   DIT        48  1
id_aa64pfr0_el1   CSV2       56  1
id_aa64pfr0_el1   CSV3       60  1
id_aa64pfr1_el1   SSBS       4   2
id_aa64dfr0_el1   DebugVer   0   6
id_aa64dfr0_el1   BRPs       12  5
id_aa64dfr0_el1   WRPs       20  3
id_aa64dfr0_el1   CTX_CMPs   28  1
id_aa64dfr0_el1   DoubleLock 36  15
id_aa64isar0_el1  AES        4   2
id_aa64isar0_el1  SHA1       8   1
id_aa64isar0_el1  SHA2       12  2
id_aa64isar0_el1  CRC32      16  1
id_aa64isar0_el1  Atomic     20  2
id_aa64isar0_el1  RDM        28  1
id_aa64isar0_el1  SHA3       32  1
id_aa64isar0_el1  DP         44  1
id_aa64isar0_el1  FHM        48  1
id_aa64isar0_el1  TS         52  2
id_aa64isar0_el1  TLB        56  2
id_aa64isar1_el1  DPB        0   1
id_aa64isar1_el1  APA        4   1
id_aa64isar1_el1  JSCVT      12  1
id_aa64isar1_el1  FCMA       16  1
id_aa64isar1_el1  LRCPC      20  2
id_aa64isar1_el1  GPA        24  1
id_aa64isar1_el1  FRINTTS    32  1
id_aa64isar1_el1  SB         36  1
id_aa64mmfr0_el1  PARange    0   5
id_aa64mmfr0_el1  ASIDBits   4   2
id_aa64mmfr0_el1  TGran16    20  1
id_aa64mmfr1_el1  HAFDBS     0   2
id_aa64mmfr1_el1  HPDS       12  1
id_aa64mmfr1_el1  LO         16  1
id_aa64mmfr1_el1  PAN        20  2
id_aa64mmfr2_el1  CnP        0   1
id_aa64mmfr2_el1  UAO        4   1
id_aa64mmfr2_el1  IDS        36  1
id_aa64mmfr2_el1  E0PD       60  1
ctr_el0           IminLine   0   4
ctr_el0           L1Ip       14  3
ctr_el0           DminLine   16  4
ctr_el0           ERG        20  4
ctr_el0           CWG        24  4
ctr_el0           IDC        28  1
ctr_el0           DIC        29  1
ctr_el0           RES1       31  1
dczid_el0         BS         0   4
clidr_el1         Ctype1     0   3
clidr_el1         LoC        24  1
ccsidr_el1        LineSize   0   2
ccsidr_el1        Ways-1     3   3
ccsidr_el1        Sets-1     13  127
`

/** A field of an ID register. */
export interface IdField {
  readonly register: string
  readonly field: string
  /** Its lowest bit. */
  readonly shift: number
  readonly value: number
}

/** All fields that are not 0. */
export const idFields = (): IdField[] =>
  FIELDS.trim()
    .split('\n')
    .map((line) => {
      const [register = '', field = '', shift, value] = line.split(/ +/)
      return { register, field, shift: Number(shift), value: Number(value) }
    })

/** The values of the ID registers that are not 0, by name: low and high word. */
export function idValues(): Map<string, readonly [lo: number, hi: number]> {
  const values = new Map<string, readonly [number, number]>()
  for (const { register, shift, value } of idFields()) {
    const [lo, hi] = values.get(register) ?? [0, 0]
    values.set(register, shift < 32 ? [(lo | (value << shift)) >>> 0, hi] : [lo, (hi | (value << (shift - 32))) >>> 0])
  }
  return values
}
