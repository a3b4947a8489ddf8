/**
 * Names of the system registers: op0, op1, CRn, CRm, then those of op2 0, 1, 2, ... (`-` for none). `:r` can only be read,
 * `:w` only written; of `a/b` the first is read and the second written.
 *
 * Source: Arm ARM (DDI 0487), "System register encoding". Compared with LLVM 22, all encodings.
 */
export const systemRegisterRows: string = `
2 0 0 0  - - osdtrrx_el1 - dbgbvr0_el1 dbgbcr0_el1 dbgwvr0_el1 dbgwcr0_el1
2 0 0 1  - - - - dbgbvr1_el1 dbgbcr1_el1 dbgwvr1_el1 dbgwcr1_el1
2 0 0 2  mdccint_el1 - mdscr_el1 - dbgbvr2_el1 dbgbcr2_el1 dbgwvr2_el1 dbgwcr2_el1
2 0 0 3  - - osdtrtx_el1 - dbgbvr3_el1 dbgbcr3_el1 dbgwvr3_el1 dbgwcr3_el1
2 0 0 4  - - mdselr_el1 - dbgbvr4_el1 dbgbcr4_el1 dbgwvr4_el1 dbgwcr4_el1
2 0 0 5  - - mdstepop_el1 - dbgbvr5_el1 dbgbcr5_el1 dbgwvr5_el1 dbgwcr5_el1
2 0 0 6  - - oseccr_el1 - dbgbvr6_el1 dbgbcr6_el1 dbgwvr6_el1 dbgwcr6_el1
2 0 0 7  - - - - dbgbvr7_el1 dbgbcr7_el1 dbgwvr7_el1 dbgwcr7_el1
2 0 0 8  - - - - dbgbvr8_el1 dbgbcr8_el1 dbgwvr8_el1 dbgwcr8_el1
2 0 0 9  - - - - dbgbvr9_el1 dbgbcr9_el1 dbgwvr9_el1 dbgwcr9_el1
2 0 0 10  - - - - dbgbvr10_el1 dbgbcr10_el1 dbgwvr10_el1 dbgwcr10_el1
2 0 0 11  - - - - dbgbvr11_el1 dbgbcr11_el1 dbgwvr11_el1 dbgwcr11_el1
2 0 0 12  - - - - dbgbvr12_el1 dbgbcr12_el1 dbgwvr12_el1 dbgwcr12_el1
2 0 0 13  - - - - dbgbvr13_el1 dbgbcr13_el1 dbgwvr13_el1 dbgwcr13_el1
2 0 0 14  - - - - dbgbvr14_el1 dbgbcr14_el1 dbgwvr14_el1 dbgwcr14_el1
2 0 0 15  - - - - dbgbvr15_el1 dbgbcr15_el1 dbgwvr15_el1 dbgwcr15_el1
2 0 1 0  mdrar_el1:r - - - oslar_el1:w
2 0 1 1  - - - - oslsr_el1:r
2 0 1 3  - - - - osdlr_el1
2 0 1 4  - - - - dbgprcr_el1
2 0 7 8  - - - - - - dbgclaimset_el1
2 0 7 9  - - - - - - dbgclaimclr_el1
2 0 7 14  - - - - - - dbgauthstatus_el1:r
2 0 9 13  spmcgcr0_el1:r spmcgcr1_el1:r - spmaccessr_el1 spmiidr_el1:r spmdevarch_el1:r spmdevaff_el1:r spmcfgr_el1:r
2 0 9 14  - spmintenset_el1 spmintenclr_el1
2 0 14 8  pmevcntsvr0_el1:r pmevcntsvr1_el1:r pmevcntsvr2_el1:r pmevcntsvr3_el1:r pmevcntsvr4_el1:r pmevcntsvr5_el1:r pmevcntsvr6_el1:r pmevcntsvr7_el1:r
2 0 14 9  pmevcntsvr8_el1:r pmevcntsvr9_el1:r pmevcntsvr10_el1:r pmevcntsvr11_el1:r pmevcntsvr12_el1:r pmevcntsvr13_el1:r pmevcntsvr14_el1:r pmevcntsvr15_el1:r
2 0 14 10  pmevcntsvr16_el1:r pmevcntsvr17_el1:r pmevcntsvr18_el1:r pmevcntsvr19_el1:r pmevcntsvr20_el1:r pmevcntsvr21_el1:r pmevcntsvr22_el1:r pmevcntsvr23_el1:r
2 0 14 11  pmevcntsvr24_el1:r pmevcntsvr25_el1:r pmevcntsvr26_el1:r pmevcntsvr27_el1:r pmevcntsvr28_el1:r pmevcntsvr29_el1:r pmevcntsvr30_el1:r pmccntsvr_el1:r
2 0 14 12  pmicntsvr_el1:r
2 1 0 0  - trctraceidr trcvictlr - trcseqevr0 trccntrldvr0 trcidr8:r trcimspec0
2 1 0 1  trcprgctlr trcqctlr trcviiectlr - trcseqevr1 trccntrldvr1 trcidr9:r trcimspec1
2 1 0 2  trcprocselr trciteedcr trcvissctlr - trcseqevr2 trccntrldvr2 trcidr10:r trcimspec2
2 1 0 3  trcstatr:r - trcvipcssctlr - - trccntrldvr3 trcidr11:r trcimspec3
2 1 0 4  trcconfigr - - - - trccntctlr0 trcidr12:r trcimspec4
2 1 0 5  - - - - - trccntctlr1 trcidr13:r trcimspec5
2 1 0 6  trcauxctlr - - - trcseqrstevr trccntctlr2 - trcimspec6
2 1 0 7  - - - - trcseqstr trccntctlr3 - trcimspec7
2 1 0 8  trceventctl0r - trcvdctlr - trcextinselr trccntvr0 - trcidr0:r
2 1 0 9  trceventctl1r - trcvdsacctlr - trcextinselr1 trccntvr1 - trcidr1:r
2 1 0 10  trcrsr - trcvdarcctlr - trcextinselr2 trccntvr2 - trcidr2:r
2 1 0 11  trcstallctlr - - - trcextinselr3 trccntvr3 - trcidr3:r
2 1 0 12  trctsctlr - - - - - - trcidr4:r
2 1 0 13  trcsyncpr - - - - - - trcidr5:r
2 1 0 14  trcccctlr - - - - - - trcidr6:r
2 1 0 15  trcbbctlr - - - - - - trcidr7:r
2 1 1 0  - trcrsctlr16 trcssccr0 trcsspcicr0 trcoslar:w
2 1 1 1  - trcrsctlr17 trcssccr1 trcsspcicr1 trcoslsr:r
2 1 1 2  trcrsctlr2 trcrsctlr18 trcssccr2 trcsspcicr2
2 1 1 3  trcrsctlr3 trcrsctlr19 trcssccr3 trcsspcicr3
2 1 1 4  trcrsctlr4 trcrsctlr20 trcssccr4 trcsspcicr4 trcpdcr
2 1 1 5  trcrsctlr5 trcrsctlr21 trcssccr5 trcsspcicr5 trcpdsr:r
2 1 1 6  trcrsctlr6 trcrsctlr22 trcssccr6 trcsspcicr6
2 1 1 7  trcrsctlr7 trcrsctlr23 trcssccr7 trcsspcicr7
2 1 1 8  trcrsctlr8 trcrsctlr24 trcsscsr0
2 1 1 9  trcrsctlr9 trcrsctlr25 trcsscsr1
2 1 1 10  trcrsctlr10 trcrsctlr26 trcsscsr2
2 1 1 11  trcrsctlr11 trcrsctlr27 trcsscsr3
2 1 1 12  trcrsctlr12 trcrsctlr28 trcsscsr4
2 1 1 13  trcrsctlr13 trcrsctlr29 trcsscsr5
2 1 1 14  trcrsctlr14 trcrsctlr30 trcsscsr6
2 1 1 15  trcrsctlr15 trcrsctlr31 trcsscsr7
2 1 2 0  trcacvr0 trcacvr8 trcacatr0 trcacatr8 trcdvcvr0 trcdvcvr4 trcdvcmr0 trcdvcmr4
2 1 2 2  trcacvr1 trcacvr9 trcacatr1 trcacatr9
2 1 2 4  trcacvr2 trcacvr10 trcacatr2 trcacatr10 trcdvcvr1 trcdvcvr5 trcdvcmr1 trcdvcmr5
2 1 2 6  trcacvr3 trcacvr11 trcacatr3 trcacatr11
2 1 2 8  trcacvr4 trcacvr12 trcacatr4 trcacatr12 trcdvcvr2 trcdvcvr6 trcdvcmr2 trcdvcmr6
2 1 2 10  trcacvr5 trcacvr13 trcacatr5 trcacatr13
2 1 2 12  trcacvr6 trcacvr14 trcacatr6 trcacatr14 trcdvcvr3 trcdvcvr7 trcdvcmr3 trcdvcmr7
2 1 2 14  trcacvr7 trcacvr15 trcacatr7 trcacatr15
2 1 3 0  trccidcvr0 trcvmidcvr0 trccidcctlr0
2 1 3 1  - - trccidcctlr1
2 1 3 2  trccidcvr1 trcvmidcvr1 trcvmidcctlr0
2 1 3 3  - - trcvmidcctlr1
2 1 3 4  trccidcvr2 trcvmidcvr2
2 1 3 6  trccidcvr3 trcvmidcvr3
2 1 3 8  trccidcvr4 trcvmidcvr4
2 1 3 10  trccidcvr5 trcvmidcvr5
2 1 3 12  trccidcvr6 trcvmidcvr6
2 1 3 14  trccidcvr7 trcvmidcvr7
2 1 7 0  - - - - trcitctrl
2 1 7 2  - - - - - - - trcdevid:r
2 1 7 3  - - - - - - - trcdevtype:r
2 1 7 4  - - - - - - - trcpidr4:r
2 1 7 5  - - - - - - - trcpidr5:r
2 1 7 6  - - - - - - - trcpidr6:r
2 1 7 7  - - - - - - - trcpidr7:r
2 1 7 8  - - - - - - trcclaimset trcpidr0:r
2 1 7 9  - - - - - - trcclaimclr trcpidr1:r
2 1 7 10  - - - - - - trcdevaff0:r trcpidr2:r
2 1 7 11  - - - - - - trcdevaff1:r trcpidr3:r
2 1 7 12  - - - - - - trclar:w trccidr0:r
2 1 7 13  - - - - - - trclsr:r trccidr1:r
2 1 7 14  - - - - - - trcauthstatus:r trccidr2:r
2 1 7 15  - - - - - - trcdevarch:r trccidr3:r
2 1 8 0  brbinf0_el1:r brbsrc0_el1:r brbtgt0_el1:r - brbinf16_el1:r brbsrc16_el1:r brbtgt16_el1:r
2 1 8 1  brbinf1_el1:r brbsrc1_el1:r brbtgt1_el1:r - brbinf17_el1:r brbsrc17_el1:r brbtgt17_el1:r
2 1 8 2  brbinf2_el1:r brbsrc2_el1:r brbtgt2_el1:r - brbinf18_el1:r brbsrc18_el1:r brbtgt18_el1:r
2 1 8 3  brbinf3_el1:r brbsrc3_el1:r brbtgt3_el1:r - brbinf19_el1:r brbsrc19_el1:r brbtgt19_el1:r
2 1 8 4  brbinf4_el1:r brbsrc4_el1:r brbtgt4_el1:r - brbinf20_el1:r brbsrc20_el1:r brbtgt20_el1:r
2 1 8 5  brbinf5_el1:r brbsrc5_el1:r brbtgt5_el1:r - brbinf21_el1:r brbsrc21_el1:r brbtgt21_el1:r
2 1 8 6  brbinf6_el1:r brbsrc6_el1:r brbtgt6_el1:r - brbinf22_el1:r brbsrc22_el1:r brbtgt22_el1:r
2 1 8 7  brbinf7_el1:r brbsrc7_el1:r brbtgt7_el1:r - brbinf23_el1:r brbsrc23_el1:r brbtgt23_el1:r
2 1 8 8  brbinf8_el1:r brbsrc8_el1:r brbtgt8_el1:r - brbinf24_el1:r brbsrc24_el1:r brbtgt24_el1:r
2 1 8 9  brbinf9_el1:r brbsrc9_el1:r brbtgt9_el1:r - brbinf25_el1:r brbsrc25_el1:r brbtgt25_el1:r
2 1 8 10  brbinf10_el1:r brbsrc10_el1:r brbtgt10_el1:r - brbinf26_el1:r brbsrc26_el1:r brbtgt26_el1:r
2 1 8 11  brbinf11_el1:r brbsrc11_el1:r brbtgt11_el1:r - brbinf27_el1:r brbsrc27_el1:r brbtgt27_el1:r
2 1 8 12  brbinf12_el1:r brbsrc12_el1:r brbtgt12_el1:r - brbinf28_el1:r brbsrc28_el1:r brbtgt28_el1:r
2 1 8 13  brbinf13_el1:r brbsrc13_el1:r brbtgt13_el1:r - brbinf29_el1:r brbsrc29_el1:r brbtgt29_el1:r
2 1 8 14  brbinf14_el1:r brbsrc14_el1:r brbtgt14_el1:r - brbinf30_el1:r brbsrc30_el1:r brbtgt30_el1:r
2 1 8 15  brbinf15_el1:r brbsrc15_el1:r brbtgt15_el1:r - brbinf31_el1:r brbsrc31_el1:r brbtgt31_el1:r
2 1 9 0  brbcr_el1 brbfcr_el1 brbts_el1
2 1 9 1  brbinfinj_el1 brbsrcinj_el1 brbtgtinj_el1
2 1 9 2  brbidr0_el1:r
2 2 0 0  teecr32_el1
2 2 1 0  teehbr32_el1
2 3 0 1  mdccsr_el0:r
2 3 0 4  dbgdtr_el0
2 3 0 5  dbgdtrrx_el0/dbgdtrtx_el0
2 3 9 12  spmcr_el0 spmcntenset_el0 spmcntenclr_el0 spmovsclr_el0 spmzr_el0:w spmselr_el0
2 3 9 14  - - - spmovsset_el0
2 3 14 0  spmevcntr0_el0 spmevcntr1_el0 spmevcntr2_el0 spmevcntr3_el0 spmevcntr4_el0 spmevcntr5_el0 spmevcntr6_el0 spmevcntr7_el0
2 3 14 1  spmevcntr8_el0 spmevcntr9_el0 spmevcntr10_el0 spmevcntr11_el0 spmevcntr12_el0 spmevcntr13_el0 spmevcntr14_el0 spmevcntr15_el0
2 3 14 2  spmevtyper0_el0 spmevtyper1_el0 spmevtyper2_el0 spmevtyper3_el0 spmevtyper4_el0 spmevtyper5_el0 spmevtyper6_el0 spmevtyper7_el0
2 3 14 3  spmevtyper8_el0 spmevtyper9_el0 spmevtyper10_el0 spmevtyper11_el0 spmevtyper12_el0 spmevtyper13_el0 spmevtyper14_el0 spmevtyper15_el0
2 3 14 4  spmevfiltr0_el0 spmevfiltr1_el0 spmevfiltr2_el0 spmevfiltr3_el0 spmevfiltr4_el0 spmevfiltr5_el0 spmevfiltr6_el0 spmevfiltr7_el0
2 3 14 5  spmevfiltr8_el0 spmevfiltr9_el0 spmevfiltr10_el0 spmevfiltr11_el0 spmevfiltr12_el0 spmevfiltr13_el0 spmevfiltr14_el0 spmevfiltr15_el0
2 3 14 6  spmevfilt2r0_el0 spmevfilt2r1_el0 spmevfilt2r2_el0 spmevfilt2r3_el0 spmevfilt2r4_el0 spmevfilt2r5_el0 spmevfilt2r6_el0 spmevfilt2r7_el0
2 3 14 7  spmevfilt2r8_el0 spmevfilt2r9_el0 spmevfilt2r10_el0 spmevfilt2r11_el0 spmevfilt2r12_el0 spmevfilt2r13_el0 spmevfilt2r14_el0 spmevfilt2r15_el0
2 4 0 7  dbgvcr32_el2
2 4 9 0  brbcr_el2
2 4 9 13  - - - spmaccessr_el2
2 5 9 0  brbcr_el12
2 5 9 13  - - - spmaccessr_el12
2 6 9 13  - - - spmaccessr_el3
2 6 9 14  - - - - - - - spmrootcr_el3
2 7 9 14  - - - - - - - spmscr_el1
3 0 0 0  midr_el1:r - - - mpuir_el1 mpidr_el1:r revidr_el1:r
3 0 0 1  id_pfr0_el1:r id_pfr1_el1:r id_dfr0_el1:r id_afr0_el1:r id_mmfr0_el1:r id_mmfr1_el1:r id_mmfr2_el1:r id_mmfr3_el1:r
3 0 0 2  id_isar0_el1:r id_isar1_el1:r id_isar2_el1:r id_isar3_el1:r id_isar4_el1:r id_isar5_el1:r id_mmfr4_el1:r id_isar6_el1:r
3 0 0 3  mvfr0_el1:r mvfr1_el1:r mvfr2_el1:r - id_pfr2_el1:r id_dfr1_el1:r id_mmfr5_el1:r
3 0 0 4  id_aa64pfr0_el1:r id_aa64pfr1_el1:r id_aa64pfr2_el1:r - id_aa64zfr0_el1:r id_aa64smfr0_el1:r - id_aa64fpfr0_el1:r
3 0 0 5  id_aa64dfr0_el1:r id_aa64dfr1_el1:r id_aa64dfr2_el1:r - id_aa64afr0_el1:r id_aa64afr1_el1:r
3 0 0 6  id_aa64isar0_el1:r id_aa64isar1_el1:r id_aa64isar2_el1:r id_aa64isar3_el1:r
3 0 0 7  id_aa64mmfr0_el1:r id_aa64mmfr1_el1:r id_aa64mmfr2_el1:r id_aa64mmfr3_el1:r id_aa64mmfr4_el1:r
3 0 1 0  sctlr_el1 actlr_el1 cpacr_el1 sctlr2_el1 - rgsr_el1 gcr_el1
3 0 1 2  zcr_el1 trfcr_el1 - trcitecr_el1 smpri_el1 - smcr_el1
3 0 1 4  sctlrmask_el1 actlrmask_el1 cpacrmask_el1 sctlr2mask_el1 cpacralias_el1 actlralias_el1 sctlralias_el1 sctlr2alias_el1
3 0 2 0  ttbr0_el1 ttbr1_el1 tcr_el1 tcr2_el1 irtbru_el1 irtbrp_el1 dpotbr0_el1 dpotbr1_el1
3 0 2 1  apiakeylo_el1 apiakeyhi_el1 apibkeylo_el1 apibkeyhi_el1 - - - ldstt_el1
3 0 2 2  apdakeylo_el1 apdakeyhi_el1 apdbkeylo_el1 apdbkeyhi_el1 tpmin0_el1 tpmax0_el1 tpmin1_el1 tpmax1_el1
3 0 2 3  apgakeylo_el1 apgakeyhi_el1
3 0 2 5  gcscr_el1 gcspr_el1 gcscre0_el1
3 0 2 7  - - tcrmask_el1 tcr2mask_el1 - - tcralias_el1 tcr2alias_el1
3 0 3 2  fgdtp0_el1 fgdtp1_el1 fgdtp2_el1 fgdtp3_el1 fgdtp4_el1 fgdtp5_el1 fgdtp6_el1 fgdtp7_el1
3 0 3 3  fgdtp8_el1 fgdtp9_el1 fgdtp10_el1 fgdtp11_el1 fgdtp12_el1 fgdtp13_el1 fgdtp14_el1 fgdtp15_el1
3 0 3 4  fgdtu0_el1 fgdtu1_el1 fgdtu2_el1 fgdtu3_el1 fgdtu4_el1 fgdtu5_el1 fgdtu6_el1 fgdtu7_el1
3 0 3 5  fgdtu8_el1 fgdtu9_el1 fgdtu10_el1 fgdtu11_el1 fgdtu12_el1 fgdtu13_el1 fgdtu14_el1 fgdtu15_el1
3 0 3 6  afgdtp0_el1 afgdtp1_el1 afgdtp2_el1 afgdtp3_el1 afgdtp4_el1 afgdtp5_el1 afgdtp6_el1 afgdtp7_el1
3 0 3 7  afgdtp8_el1 afgdtp9_el1 afgdtp10_el1 afgdtp11_el1 afgdtp12_el1 afgdtp13_el1 afgdtp14_el1 afgdtp15_el1
3 0 3 8  afgdtu0_el1 afgdtu1_el1 afgdtu2_el1 afgdtu3_el1 afgdtu4_el1 afgdtu5_el1 afgdtu6_el1 afgdtu7_el1
3 0 3 9  afgdtu8_el1 afgdtu9_el1 afgdtu10_el1 afgdtu11_el1 afgdtu12_el1 afgdtu13_el1 afgdtu14_el1 afgdtu15_el1
3 0 4 0  spsr_el1 elr_el1 stindex_el1 tindex_el1
3 0 4 1  sp_el0
3 0 4 2  spsel - currentel:r pan uao
3 0 4 3  allint pm
3 0 4 6  icc_pmr_el1
3 0 5 1  afsr0_el1 afsr1_el1
3 0 5 2  esr_el1
3 0 5 3  erridr_el1:r errselr_el1 erxgsr_el1:r
3 0 5 4  erxfr_el1:r erxctlr_el1 erxstatus_el1 erxaddr_el1 erxpfgf_el1:r erxpfgctl_el1 erxpfgcdn_el1
3 0 5 5  erxmisc0_el1 erxmisc1_el1 erxmisc2_el1 erxmisc3_el1
3 0 5 6  tfsr_el1 tfsre0_el1
3 0 6 0  far_el1 - - - - pfar_el1
3 0 6 1  - prenr_el1
3 0 6 2  - prselr_el1
3 0 6 8  prbar_el1 prlar_el1 - - prbar1_el1 prlar1_el1
3 0 6 9  prbar2_el1 prlar2_el1 - - prbar3_el1 prlar3_el1
3 0 6 10  prbar4_el1 prlar4_el1 - - prbar5_el1 prlar5_el1
3 0 6 11  prbar6_el1 prlar6_el1 - - prbar7_el1 prlar7_el1
3 0 6 12  prbar8_el1 prlar8_el1 - - prbar9_el1 prlar9_el1
3 0 6 13  prbar10_el1 prlar10_el1 - - prbar11_el1 prlar11_el1
3 0 6 14  prbar12_el1 prlar12_el1 - - prbar13_el1 prlar13_el1
3 0 6 15  prbar14_el1 prlar14_el1 - - prbar15_el1 prlar15_el1
3 0 7 4  par_el1
3 0 9 9  pmscr_el1 pmsnevfr_el1 pmsicr_el1 pmsirr_el1 pmsfcr_el1 pmsevfr_el1 pmslatfr_el1 pmsidr_el1:r
3 0 9 10  pmblimitr_el1 pmbptr_el1 - pmbsr_el1 pmsdsfr_el1 pmbmar_el1 - pmbidr_el1:r
3 0 9 11  trblimitr_el1 trbptr_el1 trbbaser_el1 trbsr_el1 trbmar_el1 trbmpam_el1 trbtrg_el1 trbidr_el1:r
3 0 9 13  - - - pmsscr_el1
3 0 9 14  - pmintenset_el1 pmintenclr_el1 - pmuacr_el1 pmecr_el1 pmmir_el1:r pmiar_el1
3 0 10 2  mair_el1 mair2_el1 pire0_el1 pir_el1 por_el1 s2por_el1 tttbru_el1 tttbrp_el1
3 0 10 3  amair_el1 amair2_el1
3 0 10 4  lorsa_el1 lorea_el1 lorn_el1 lorc_el1 mpamidr_el1:r mpambwidr_el1:r tlbididr_el1:r lorid_el1:r
3 0 10 5  mpam1_el1 mpam0_el1 mpamctl_el1 mpamsm_el1 mpambw1_el1 mpambw0_el1 - mpambwsm_el1
3 0 12 0  vbar_el1 rvbar_el1:r rmr_el1
3 0 12 1  isr_el1:r disr_el1
3 0 12 8  icc_iar0_el1:r icc_eoir0_el1:w icc_hppir0_el1:r icc_bpr0_el1 icc_ap0r0_el1 icc_ap0r1_el1 icc_ap0r2_el1 icc_ap0r3_el1
3 0 12 9  icc_ap1r0_el1 icc_ap1r1_el1 icc_ap1r2_el1 icc_ap1r3_el1 - icc_nmiar1_el1:r
3 0 12 10  icc_ppi_hmr0_el1 icc_ppi_hmr1_el1 icc_idr0_el1:r icc_hppir_el1/icv_hppir_el1 icc_icsr_el1 icc_iaffidr_el1:r icc_ppi_enabler0_el1 icc_ppi_enabler1_el1
3 0 12 11  - icc_dir_el1:w - icc_rpr_el1:r - icc_sgi1r_el1:w icc_asgi1r_el1:w icc_sgi0r_el1:w
3 0 12 12  icc_iar1_el1:r icc_eoir1_el1:w icc_hppir1_el1:r icc_bpr1_el1 icc_ctlr_el1 icc_sre_el1 icc_igrpen0_el1 icc_igrpen1_el1
3 0 12 13  icc_ppi_cactiver0_el1 icc_ppi_cactiver1_el1 icc_ppi_sactiver0_el1 icc_ppi_sactiver1_el1 icc_ppi_cpendr0_el1 icc_ppi_cpendr1_el1 icc_ppi_spendr0_el1 icc_ppi_spendr1_el1
3 0 12 14  icc_ppi_priorityr0_el1 icc_ppi_priorityr1_el1 icc_ppi_priorityr2_el1 icc_ppi_priorityr3_el1 icc_ppi_priorityr4_el1 icc_ppi_priorityr5_el1 icc_ppi_priorityr6_el1 icc_ppi_priorityr7_el1
3 0 12 15  icc_ppi_priorityr8_el1 icc_ppi_priorityr9_el1 icc_ppi_priorityr10_el1 icc_ppi_priorityr11_el1 icc_ppi_priorityr12_el1 icc_ppi_priorityr13_el1 icc_ppi_priorityr14_el1 icc_ppi_priorityr15_el1
3 0 13 0  tpidr3_el1 contextidr_el1 - rcwsmask_el1 tpidr_el1 accdata_el1 rcwmask_el1 scxtnum_el1
3 0 14 1  cntkctl_el1
3 1 0 0  ccsidr_el1:r clidr_el1:r ccsidr2_el1:r - gmid_el1:r - smidr_el1:r aidr_el1:r
3 1 12 0  icc_apr_el1 icc_cr0_el1 icc_pcr_el1 icc_hapr_el1/icv_hapr_el1
3 2 0 0  csselr_el1
3 3 0 0  - ctr_el0:r - - - - - dczid_el0:r
3 3 2 2  - - - - tpmin0_el0 tpmax0_el0 tpmin1_el0 tpmax1_el0
3 3 2 4  rndr:r rndrrs:r
3 3 2 5  - gcspr_el0
3 3 4 0  - - - tindex_el0
3 3 4 2  nzcv daif svcr - - dit ssbs tco
3 3 4 4  fpcr fpsr fpmr
3 3 4 5  dspsr_el0 dlr_el0 dpocr_el0
3 3 9 4  pmicntr_el0
3 3 9 6  pmicfiltr_el0
3 3 9 12  pmcr_el0 pmcntenset_el0 pmcntenclr_el0 pmovsclr_el0 pmswinc_el0:w pmselr_el0 pmceid0_el0:r pmceid1_el0:r
3 3 9 13  pmccntr_el0 pmxevtyper_el0 pmxevcntr_el0 - pmzr_el0:w
3 3 9 14  pmuserenr_el0 - - pmovsset_el0
3 3 10 2  - - - - por_el0
3 3 13 0  tpidr3_el0 - tpidr_el0 tpidrro_el0 - tpidr2_el0 - scxtnum_el0
3 3 13 2  amcr_el0 amcfgr_el0:r amcgcr_el0:r amuserenr_el0 amcntenclr0_el0 amcntenset0_el0 amcg1idr_el0:r
3 3 13 3  amcntenclr1_el0 amcntenset1_el0
3 3 13 4  amevcntr00_el0 amevcntr01_el0 amevcntr02_el0 amevcntr03_el0
3 3 13 6  amevtyper00_el0:r amevtyper01_el0:r amevtyper02_el0:r amevtyper03_el0:r
3 3 13 12  amevcntr10_el0 amevcntr11_el0 amevcntr12_el0 amevcntr13_el0 amevcntr14_el0 amevcntr15_el0 amevcntr16_el0 amevcntr17_el0
3 3 13 13  amevcntr18_el0 amevcntr19_el0 amevcntr110_el0 amevcntr111_el0 amevcntr112_el0 amevcntr113_el0 amevcntr114_el0 amevcntr115_el0
3 3 13 14  amevtyper10_el0 amevtyper11_el0 amevtyper12_el0 amevtyper13_el0 amevtyper14_el0 amevtyper15_el0 amevtyper16_el0 amevtyper17_el0
3 3 13 15  amevtyper18_el0 amevtyper19_el0 amevtyper110_el0 amevtyper111_el0 amevtyper112_el0 amevtyper113_el0 amevtyper114_el0 amevtyper115_el0
3 3 14 0  cntfrq_el0 cntpct_el0:r cntvct_el0:r - - cntpctss_el0:r cntvctss_el0:r
3 3 14 2  cntp_tval_el0 cntp_ctl_el0 cntp_cval_el0
3 3 14 3  cntv_tval_el0 cntv_ctl_el0 cntv_cval_el0
3 3 14 8  pmevcntr0_el0 pmevcntr1_el0 pmevcntr2_el0 pmevcntr3_el0 pmevcntr4_el0 pmevcntr5_el0 pmevcntr6_el0 pmevcntr7_el0
3 3 14 9  pmevcntr8_el0 pmevcntr9_el0 pmevcntr10_el0 pmevcntr11_el0 pmevcntr12_el0 pmevcntr13_el0 pmevcntr14_el0 pmevcntr15_el0
3 3 14 10  pmevcntr16_el0 pmevcntr17_el0 pmevcntr18_el0 pmevcntr19_el0 pmevcntr20_el0 pmevcntr21_el0 pmevcntr22_el0 pmevcntr23_el0
3 3 14 11  pmevcntr24_el0 pmevcntr25_el0 pmevcntr26_el0 pmevcntr27_el0 pmevcntr28_el0 pmevcntr29_el0 pmevcntr30_el0
3 3 14 12  pmevtyper0_el0 pmevtyper1_el0 pmevtyper2_el0 pmevtyper3_el0 pmevtyper4_el0 pmevtyper5_el0 pmevtyper6_el0 pmevtyper7_el0
3 3 14 13  pmevtyper8_el0 pmevtyper9_el0 pmevtyper10_el0 pmevtyper11_el0 pmevtyper12_el0 pmevtyper13_el0 pmevtyper14_el0 pmevtyper15_el0
3 3 14 14  pmevtyper16_el0 pmevtyper17_el0 pmevtyper18_el0 pmevtyper19_el0 pmevtyper20_el0 pmevtyper21_el0 pmevtyper22_el0 pmevtyper23_el0
3 3 14 15  pmevtyper24_el0 pmevtyper25_el0 pmevtyper26_el0 pmevtyper27_el0 pmevtyper28_el0 pmevtyper29_el0 pmevtyper30_el0 pmccfiltr_el0
3 4 0 0  vpidr_el2 - - - mpuir_el2 vmpidr_el2
3 4 1 0  sctlr_el2 actlr_el2 - sctlr2_el2
3 4 1 1  hcr_el2 mdcr_el2 cptr_el2 hstr_el2 hfgrtr_el2 hfgwtr_el2 hfgitr_el2 hacr_el2
3 4 1 2  zcr_el2 trfcr_el2 hcrx_el2 trcitecr_el2 - smprimap_el2 smcr_el2
3 4 1 3  - sder32_el2
3 4 1 4  sctlrmask_el2 actlrmask_el2 cptrmask_el2 sctlr2mask_el2
3 4 1 5  nvhcr_el2 nvhcrx_el2 - - nvhcrmask_el2 nvhcrxmask_el2 hcrmask_el2 hcrxmask_el2
3 4 2 0  ttbr0_el2 ttbr1_el2 tcr_el2 tcr2_el2 irtbru_el2 irtbrp_el2 dpotbr0_el2 dpotbr1_el2
3 4 2 1  vttbr_el2 - vtcr_el2 - - - - ldstt_el2
3 4 2 2  vncr_el2 vnccr_el2 - - tpmin0_el2 tpmax0_el2 tpmin1_el2 tpmax1_el2
3 4 2 3  - - hdbssbr_el2 hdbssprod_el2 hacdbsbr_el2 hacdbscons_el2
3 4 2 5  gcscr_el2 gcspr_el2
3 4 2 6  vsttbr_el2 - vstcr_el2
3 4 2 7  - - tcrmask_el2 tcr2mask_el2
3 4 2 8  vtlbid0_el2 vtlbid1_el2 vtlbid2_el2 vtlbid3_el2
3 4 2 9  vtlbidos0_el2 vtlbidos1_el2 vtlbidos2_el2 vtlbidos3_el2
3 4 3 0  dacr32_el2
3 4 3 1  hdfgrtr2_el2 hdfgwtr2_el2 hfgrtr2_el2 hfgwtr2_el2 hdfgrtr_el2 hdfgwtr_el2 hafgrtr_el2 hfgitr2_el2
3 4 3 2  fgdtp0_el2 fgdtp1_el2 fgdtp2_el2 fgdtp3_el2 fgdtp4_el2 fgdtp5_el2 fgdtp6_el2 fgdtp7_el2
3 4 3 3  fgdtp8_el2 fgdtp9_el2 fgdtp10_el2 fgdtp11_el2 fgdtp12_el2 fgdtp13_el2 fgdtp14_el2 fgdtp15_el2
3 4 3 4  fgdtu0_el2 fgdtu1_el2 fgdtu2_el2 fgdtu3_el2 fgdtu4_el2 fgdtu5_el2 fgdtu6_el2 fgdtu7_el2
3 4 3 5  fgdtu8_el2 fgdtu9_el2 fgdtu10_el2 fgdtu11_el2 fgdtu12_el2 fgdtu13_el2 fgdtu14_el2 fgdtu15_el2
3 4 3 6  afgdtp0_el2 afgdtp1_el2 afgdtp2_el2 afgdtp3_el2 afgdtp4_el2 afgdtp5_el2 afgdtp6_el2 afgdtp7_el2
3 4 3 7  afgdtp8_el2 afgdtp9_el2 afgdtp10_el2 afgdtp11_el2 afgdtp12_el2 afgdtp13_el2 afgdtp14_el2 afgdtp15_el2
3 4 3 8  afgdtu0_el2 afgdtu1_el2 afgdtu2_el2 afgdtu3_el2 afgdtu4_el2 afgdtu5_el2 afgdtu6_el2 afgdtu7_el2
3 4 3 9  afgdtu8_el2 afgdtu9_el2 afgdtu10_el2 afgdtu11_el2 afgdtu12_el2 afgdtu13_el2 afgdtu14_el2 afgdtu15_el2
3 4 4 0  spsr_el2 elr_el2 stindex_el2 tindex_el2
3 4 4 1  sp_el1
3 4 4 3  spsr_irq spsr_abt spsr_und spsr_fiq
3 4 5 0  - ifsr32_el2
3 4 5 1  afsr0_el2 afsr1_el2
3 4 5 2  esr_el2 - - vsesr_el2
3 4 5 3  fpexc32_el2
3 4 5 6  tfsr_el2
3 4 6 0  far_el2 - - - hpfar_el2 pfar_el2
3 4 6 1  - prenr_el2
3 4 6 2  - prselr_el2
3 4 6 8  prbar_el2 prlar_el2 - - prbar1_el2 prlar1_el2
3 4 6 9  prbar2_el2 prlar2_el2 - - prbar3_el2 prlar3_el2
3 4 6 10  prbar4_el2 prlar4_el2 - - prbar5_el2 prlar5_el2
3 4 6 11  prbar6_el2 prlar6_el2 - - prbar7_el2 prlar7_el2
3 4 6 12  prbar8_el2 prlar8_el2 - - prbar9_el2 prlar9_el2
3 4 6 13  prbar10_el2 prlar10_el2 - - prbar11_el2 prlar11_el2
3 4 6 14  prbar12_el2 prlar12_el2 - - prbar13_el2 prlar13_el2
3 4 6 15  prbar14_el2 prlar14_el2 - - prbar15_el2 prlar15_el2
3 4 9 9  pmscr_el2
3 4 9 10  - - - pmbsr_el2
3 4 9 11  - - - trbsr_el2
3 4 10 1  - mair2_el2
3 4 10 2  mair_el2 - pire0_el2 pir_el2 por_el2 s2pir_el2 tttbru_el2 tttbrp_el2
3 4 10 3  amair_el2 amair2_el2
3 4 10 4  mpamhcr_el2 mpamvpmv_el2
3 4 10 5  mpam2_el2 - mpamctl_el2 - mpambw2_el2 - mpambwcap_el2
3 4 10 6  mpamvpm0_el2 mpamvpm1_el2 mpamvpm2_el2 mpamvpm3_el2 mpamvpm4_el2 mpamvpm5_el2 mpamvpm6_el2 mpamvpm7_el2
3 4 10 7  mpamvidcr_el2 mpamvidsr_el2
3 4 10 8  mecid_p0_el2 mecid_a0_el2 mecid_p1_el2 mecid_a1_el2 - - - mecidr_el2:r
3 4 10 9  vmecid_p_el2 vmecid_a_el2
3 4 12 0  vbar_el2 rvbar_el2:r rmr_el2
3 4 12 1  - vdisr_el2
3 4 12 8  ich_ap0r0_el2 ich_ap0r1_el2 ich_ap0r2_el2 ich_ap0r3_el2 ich_apr_el2 ich_hppir_el2:r
3 4 12 9  ich_ap1r0_el2 ich_ap1r1_el2 ich_ap1r2_el2 ich_ap1r3_el2 ich_hfgrtr_el2 icc_sre_el2 ich_hfgwtr_el2 ich_hfgitr_el2
3 4 12 10  ich_ppi_dvir0_el2 ich_ppi_dvir1_el2 ich_ppi_enabler0_el2 ich_ppi_enabler1_el2 ich_ppi_pendr0_el2 ich_ppi_pendr1_el2 ich_ppi_activer0_el2 ich_ppi_activer1_el2
3 4 12 11  ich_hcr_el2 ich_vtr_el2:r ich_misr_el2:r ich_eisr_el2:r ich_vctlr_el2 ich_elrsr_el2:r ich_contextr_el2 ich_vmcr_el2
3 4 12 12  ich_lr0_el2 ich_lr1_el2 ich_lr2_el2 ich_lr3_el2 ich_lr4_el2 ich_lr5_el2 ich_lr6_el2 ich_lr7_el2
3 4 12 13  ich_lr8_el2 ich_lr9_el2 ich_lr10_el2 ich_lr11_el2 ich_lr12_el2 ich_lr13_el2 ich_lr14_el2 ich_lr15_el2
3 4 12 14  ich_ppi_priorityr0_el2 ich_ppi_priorityr1_el2 ich_ppi_priorityr2_el2 ich_ppi_priorityr3_el2 ich_ppi_priorityr4_el2 ich_ppi_priorityr5_el2 ich_ppi_priorityr6_el2 ich_ppi_priorityr7_el2
3 4 12 15  ich_ppi_priorityr8_el2 ich_ppi_priorityr9_el2 ich_ppi_priorityr10_el2 ich_ppi_priorityr11_el2 ich_ppi_priorityr12_el2 ich_ppi_priorityr13_el2 ich_ppi_priorityr14_el2 ich_ppi_priorityr15_el2
3 4 13 0  tpidr3_el2 contextidr_el2 tpidr_el2 - - - - scxtnum_el2
3 4 13 8  amevcntvoff00_el2 amevcntvoff01_el2 amevcntvoff02_el2 amevcntvoff03_el2 amevcntvoff04_el2 amevcntvoff05_el2 amevcntvoff06_el2 amevcntvoff07_el2
3 4 13 9  amevcntvoff08_el2 amevcntvoff09_el2 amevcntvoff010_el2 amevcntvoff011_el2 amevcntvoff012_el2 amevcntvoff013_el2 amevcntvoff014_el2 amevcntvoff015_el2
3 4 13 10  amevcntvoff10_el2 amevcntvoff11_el2 amevcntvoff12_el2 amevcntvoff13_el2 amevcntvoff14_el2 amevcntvoff15_el2 amevcntvoff16_el2 amevcntvoff17_el2
3 4 13 11  amevcntvoff18_el2 amevcntvoff19_el2 amevcntvoff110_el2 amevcntvoff111_el2 amevcntvoff112_el2 amevcntvoff113_el2 amevcntvoff114_el2 amevcntvoff115_el2
3 4 14 0  - - - cntvoff_el2 cntscale_el2 cntiscale_el2 cntpoff_el2 cntvfrq_el2
3 4 14 1  cnthctl_el2
3 4 14 2  cnthp_tval_el2 cnthp_ctl_el2 cnthp_cval_el2
3 4 14 3  cnthv_tval_el2 cnthv_ctl_el2 cnthv_cval_el2
3 4 14 4  cnthvs_tval_el2 cnthvs_ctl_el2 cnthvs_cval_el2
3 4 14 5  cnthps_tval_el2 cnthps_ctl_el2 cnthps_cval_el2
3 5 1 0  sctlr_el12 actlr_el12 cpacr_el12 sctlr2_el12
3 5 1 2  zcr_el12 trfcr_el12 - trcitecr_el12 - - smcr_el12
3 5 1 4  sctlrmask_el12 actlrmask_el12 cpacrmask_el12 sctlr2mask_el12
3 5 2 0  ttbr0_el12 ttbr1_el12 tcr_el12 tcr2_el12 irtbru_el12 irtbrp_el12 dpotbr0_el12 dpotbr1_el12
3 5 2 1  - - - - - - - ldstt_el12
3 5 2 2  - - - - tpmin0_el12 tpmax0_el12 tpmin1_el12 tpmax1_el12
3 5 2 5  gcscr_el12 gcspr_el12
3 5 2 7  - - tcrmask_el12 tcr2mask_el12
3 5 3 2  fgdtp0_el12 fgdtp1_el12 fgdtp2_el12 fgdtp3_el12 fgdtp4_el12 fgdtp5_el12 fgdtp6_el12 fgdtp7_el12
3 5 3 3  fgdtp8_el12 fgdtp9_el12 fgdtp10_el12 fgdtp11_el12 fgdtp12_el12 fgdtp13_el12 fgdtp14_el12 fgdtp15_el12
3 5 3 4  fgdtu0_el12 fgdtu1_el12 fgdtu2_el12 fgdtu3_el12 fgdtu4_el12 fgdtu5_el12 fgdtu6_el12 fgdtu7_el12
3 5 3 5  fgdtu8_el12 fgdtu9_el12 fgdtu10_el12 fgdtu11_el12 fgdtu12_el12 fgdtu13_el12 fgdtu14_el12 fgdtu15_el12
3 5 3 6  afgdtp0_el12 afgdtp1_el12 afgdtp2_el12 afgdtp3_el12 afgdtp4_el12 afgdtp5_el12 afgdtp6_el12 afgdtp7_el12
3 5 3 7  afgdtp8_el12 afgdtp9_el12 afgdtp10_el12 afgdtp11_el12 afgdtp12_el12 afgdtp13_el12 afgdtp14_el12 afgdtp15_el12
3 5 3 8  afgdtu0_el12 afgdtu1_el12 afgdtu2_el12 afgdtu3_el12 afgdtu4_el12 afgdtu5_el12 afgdtu6_el12 afgdtu7_el12
3 5 3 9  afgdtu8_el12 afgdtu9_el12 afgdtu10_el12 afgdtu11_el12 afgdtu12_el12 afgdtu13_el12 afgdtu14_el12 afgdtu15_el12
3 5 4 0  spsr_el12 elr_el12 stindex_el12 tindex_el12
3 5 5 1  afsr0_el12 afsr1_el12
3 5 5 2  esr_el12
3 5 5 6  tfsr_el12
3 5 6 0  far_el12 - - - - pfar_el12
3 5 9 9  pmscr_el12
3 5 9 10  - - - pmbsr_el12
3 5 9 11  - - - trbsr_el12
3 5 10 2  mair_el12 mair2_el12 pire0_el12 pir_el12 por_el12 - tttbru_el12 tttbrp_el12
3 5 10 3  amair_el12 amair2_el12
3 5 10 5  mpam1_el12 - mpamctl_el12 - mpambw1_el12
3 5 12 0  vbar_el12
3 5 13 0  tpidr3_el12 contextidr_el12 - - - - - scxtnum_el12
3 5 14 1  cntkctl_el12
3 5 14 2  cntp_tval_el02 cntp_ctl_el02 cntp_cval_el02
3 5 14 3  cntv_tval_el02 cntv_ctl_el02 cntv_cval_el02
3 6 1 0  sctlr_el3 actlr_el3 - sctlr2_el3
3 6 1 1  scr_el3 sder32_el3 cptr_el3 - - fgwte3_el3
3 6 1 2  zcr_el3 - - - - - smcr_el3
3 6 1 3  - mdcr_el3
3 6 2 0  ttbr0_el3 - tcr_el3 - - irtbrp_el3 dpotbr0_el3
3 6 2 1  - - - - gptbr_el3 gpcbw_el3 gpccr_el3
3 6 2 5  gcscr_el3 gcspr_el3
3 6 3 2  fgdtp0_el3 fgdtp1_el3 fgdtp2_el3 fgdtp3_el3 fgdtp4_el3 fgdtp5_el3 fgdtp6_el3 fgdtp7_el3
3 6 3 3  fgdtp8_el3 fgdtp9_el3 fgdtp10_el3 fgdtp11_el3 fgdtp12_el3 fgdtp13_el3 fgdtp14_el3 fgdtp15_el3
3 6 3 6  afgdtp0_el3 afgdtp1_el3 afgdtp2_el3 afgdtp3_el3 afgdtp4_el3 afgdtp5_el3 afgdtp6_el3 afgdtp7_el3
3 6 3 7  afgdtp8_el3 afgdtp9_el3 afgdtp10_el3 afgdtp11_el3 afgdtp12_el3 afgdtp13_el3 afgdtp14_el3 afgdtp15_el3
3 6 4 0  spsr_el3 elr_el3 stindex_el3 tindex_el3
3 6 4 1  sp_el2
3 6 5 1  afsr0_el3 afsr1_el3
3 6 5 2  esr_el3 - - vsesr_el3
3 6 5 6  tfsr_el3
3 6 6 0  far_el3 - - - - mfar_el3
3 6 9 10  - - - pmbsr_el3
3 6 9 11  - - - trbsr_el3
3 6 10 1  - mair2_el3
3 6 10 2  mair_el3 - - pir_el3 por_el3 - - tttbrp_el3
3 6 10 3  amair_el3 amair2_el3
3 6 10 5  mpam3_el3 - mpamctl_el3 - mpambw3_el3
3 6 10 7  - mpamvidsr_el3
3 6 10 10  - mecid_rl_a_el3
3 6 12 0  vbar_el3 rvbar_el3:r rmr_el3
3 6 12 1  - vdisr_el3
3 6 12 8  icc_apr_el3 icc_pcr_el3 icc_domhppir_el3:r - icc_ppi_domainr0_el3 icc_ppi_domainr1_el3 icc_ppi_domainr2_el3 icc_ppi_domainr3_el3
3 6 12 9  icc_cr0_el3 icc_hppir_el3:r
3 6 12 12  - - - - icc_ctlr_el3 icc_sre_el3 - icc_igrpen1_el3
3 6 13 0  tpidr3_el3 - tpidr_el3 - - - - scxtnum_el3
3 7 14 2  cntps_tval_el1 cntps_ctl_el1 cntps_cval_el1
`
