/**
 * The ID registers, field by field: what the processor promises. A register's bits without a field are 0.
 *
 * Source: Arm ARM (DDI 0487) D24.2, "General system control registers".
 */
import type { Form as Row } from '@retrap/arm-decoder'

/** Lines with register, field, lowest bit and value. */
const FIELDS = `
id_aa64pfr0_el1   EL0        0   2
id_aa64pfr0_el1   EL1        4   1
id_aa64pfr0_el1   FP         16  1
id_aa64pfr0_el1   AdvSIMD    20  1
id_aa64pfr0_el1   GIC        24  1
id_aa64pfr0_el1   RAS        28  1
id_aa64pfr0_el1   DIT        48  1
id_aa64pfr0_el1   CSV2       56  1
id_aa64pfr0_el1   CSV3       60  1
id_aa64pfr1_el1   BT         0   1
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
id_pfr0_el1       State0     0   1
id_pfr0_el1       State1     4   3
id_pfr0_el1       State2     8   1
id_pfr0_el1       CSV2       16  1
id_pfr0_el1       DIT        24  1
id_pfr0_el1       RAS        28  1
id_pfr1_el1       GenTimer   16  1
id_pfr2_el1       CSV3       0   1
id_pfr2_el1       SSBS       4   1
id_dfr0_el1       CopDbg     0   6
id_mmfr0_el1      VMSA       0   5
id_mmfr0_el1      OuterShr   8   1
id_mmfr0_el1      ShareLvl   12  1
id_mmfr0_el1      InnerShr   28  1
id_mmfr1_el1      BPred      28  4
id_mmfr2_el1      UniTLB     16  6
id_mmfr2_el1      MemBarr    20  2
id_mmfr2_el1      WFIStall   24  1
id_mmfr3_el1      CMaintVA   0   1
id_mmfr3_el1      CMaintSW   4   1
id_mmfr3_el1      BPMaint    8   2
id_mmfr3_el1      MaintBcst  12  2
id_mmfr3_el1      PAN        16  2
id_mmfr3_el1      CohWalk    20  1
id_mmfr3_el1      CMemSz     24  2
id_mmfr4_el1      CnP        12  1
id_mmfr4_el1      HPDS       16  1
id_isar0_el1      BitCount   4   1
id_isar0_el1      BitField   8   1
id_isar0_el1      CmpBranch  12  1
id_isar0_el1      Debug      20  1
id_isar0_el1      Divide     24  2
id_isar1_el1      Endian     0   1
id_isar1_el1      Except     4   1
id_isar1_el1      Except_AR  8   1
id_isar1_el1      Extend     12  2
id_isar1_el1      IfThen     16  1
id_isar1_el1      Immediate  20  1
id_isar1_el1      Interwork  24  3
id_isar1_el1      Jazelle    28  1
id_isar2_el1      LoadStore  0   2
id_isar2_el1      MemHint    4   4
id_isar2_el1      Mult       12  2
id_isar2_el1      MultS      16  3
id_isar2_el1      MultU      20  2
id_isar2_el1      PSR_AR     24  1
id_isar2_el1      Reversal   28  2
id_isar3_el1      Saturate   0   1
id_isar3_el1      SIMD       4   3
id_isar3_el1      SVC        8   1
id_isar3_el1      SynchPrim  12  2
id_isar3_el1      TabBranch  16  1
id_isar3_el1      T32Copy    20  1
id_isar3_el1      TrueNOP    24  1
id_isar4_el1      Unpriv     0   2
id_isar4_el1      WithShifts 4   4
id_isar4_el1      Writeback  8   1
id_isar4_el1      Barrier    16  1
id_isar5_el1      SEVL       0   1
id_isar5_el1      AES        4   2
id_isar5_el1      SHA1       8   1
id_isar5_el1      SHA2       12  1
id_isar5_el1      CRC32      16  1
id_isar5_el1      RDM        24  1
id_isar5_el1      VCMA       28  1
id_isar6_el1      JSCVT      0   1
id_isar6_el1      DP         4   1
id_isar6_el1      FHM        8   1
id_isar6_el1      SB         12  1
mvfr0_el1         SIMDReg    0   2
mvfr0_el1         FPSP       4   2
mvfr0_el1         FPDP       8   2
mvfr0_el1         FPDivide   16  1
mvfr0_el1         FPSqrt     20  1
mvfr0_el1         FPRound    28  1
mvfr1_el1         FPFtZ      0   1
mvfr1_el1         FPDNaN     4   1
mvfr1_el1         SIMDLS     8   1
mvfr1_el1         SIMDInt    12  1
mvfr1_el1         SIMDSP     16  1
mvfr1_el1         SIMDHP     20  2
mvfr1_el1         FPHP       24  3
mvfr1_el1         SIMDFMAC   28  1
mvfr2_el1         SIMDMisc   0   3
mvfr2_el1         FPMisc     4   4
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
  /** Lowest bit. */
  readonly shift: number
  readonly value: number
}

/** Returns all nonzero fields. */
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

/**
 * The features of the architecture that the processor has, as the ID registers say, by the names that the manual gives them
 * after `FEAT_`.
 */
const FEATURES: ReadonlySet<string> = new Set([
  '',
  ...'AES CRC32 DotProd DPB FCMA FHM FlagM FlagM2 FP16 FRINTTS JSCVT LOR LRCPC LRCPC2 LSE PAN PAN2 PAuth'.split(' '),
  ...'PMULL RDM SB SHA1 SHA256 SHA3 SHA512'.split(' '),
  // Processors without FEAT_RPRFM execute RPRFM as a PRFM of a reserved operation. Both do nothing.
  'RPRFM',
])

/** Whether the processor has the feature that a row belongs to. */
export const hasFeature = ({ feature }: Row): boolean => FEATURES.has(feature)
