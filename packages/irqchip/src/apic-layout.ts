/*
 * Where a local APIC's state lies in its region of machine memory: 64 words of registers, at offset/16 of the register
 * page, then the words below. Nothing outside this package depends on it: saved states name their fields.
 */
import {
  APIC_DFR,
  APIC_ESR,
  APIC_ICR,
  APIC_ICR2,
  APIC_ID,
  APIC_IRR,
  APIC_ISR,
  APIC_LDR,
  APIC_LVT_TIMER,
  APIC_PPR,
  APIC_SVR,
  APIC_TDCR,
  APIC_TMICT,
  APIC_TMR,
  APIC_TPR,
} from './apic-registers.ts'

/** Counts the bytes of machine memory that a local APIC's state takes. */
export const LOCAL_APIC_STATE_BYTES = 512

/** Words of the register page. */
export const REGISTER_WORDS = 64

export const ID: number = APIC_ID >> 4
export const TPR: number = APIC_TPR >> 4
export const PPR: number = APIC_PPR >> 4
export const LDR: number = APIC_LDR >> 4
export const DFR: number = APIC_DFR >> 4
export const SVR: number = APIC_SVR >> 4
export const ISR: number = APIC_ISR >> 4
export const TMR: number = APIC_TMR >> 4
export const IRR: number = APIC_IRR >> 4
export const ESR: number = APIC_ESR >> 4
export const ICR: number = APIC_ICR >> 4
export const ICR2: number = APIC_ICR2 >> 4
export const LVT_TIMER: number = APIC_LVT_TIMER >> 4
export const TIMER_INITIAL: number = APIC_TMICT >> 4
export const TIMER_DIVIDE: number = APIC_TDCR >> 4

/** IA32_APIC_BASE. */
export const BASE_LO = 64
export const BASE_HI = 65
/** `EVENT_*` bits, and in bit 0 that those of interrupts must be computed again. */
export const EVENTS = 66
export const SIPI_VECTOR = 67
/** Errors since the last write of ESR. */
export const ERRORS = 68
/** Levels of LINT0 and LINT1, bits 0 and 1. */
export const LINT = 69
export const DEADLINE_LO = 72
export const DEADLINE_HI = 73
/** 1 when the one-shot count has run out. */
export const TIMER_DONE = 74
/**
 * Indices in doubles: the time at which the count, or the period that runs, began. Nanoseconds in two words of 32 bits, and
 * a rest below a nanosecond in parts of the denominator that a tick's length has. The time may lie before power-on.
 */
export const TIMER_START_LO = 48
export const TIMER_START_HI = 49
export const TIMER_START_REST = 50
