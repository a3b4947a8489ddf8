/**
 * Status fields of completions: the status code type in bits 10:8, the code in bits 7:0.
 *
 * Source: NVM Express 1.4, figures 128 "Generic Command Status Values" to 133 "Media and Data Integrity Error Values".
 */
export const STATUS = {
  SUCCESS: 0x000,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  DATA_TRANSFER_ERROR: 0x004,
  INTERNAL_ERROR: 0x006,
  INVALID_NAMESPACE: 0x00b,
  INVALID_PRP_OFFSET: 0x013,
  WRITE_PROTECTED: 0x020,
  LBA_OUT_OF_RANGE: 0x080,
  CAPACITY_EXCEEDED: 0x081,
  NAMESPACE_NOT_READY: 0x082,
  INVALID_COMPLETION_QUEUE: 0x100,
  INVALID_QUEUE_IDENTIFIER: 0x101,
  INVALID_QUEUE_SIZE: 0x102,
  TOO_MANY_EVENT_REQUESTS: 0x105,
  INVALID_INTERRUPT_VECTOR: 0x108,
  INVALID_LOG_PAGE: 0x109,
  INVALID_QUEUE_DELETION: 0x10c,
  FEATURE_NOT_SAVEABLE: 0x10d,
  FEATURE_NOT_CHANGEABLE: 0x10e,
  WRITE_FAULT: 0x280,
  UNRECOVERED_READ: 0x281,
  COMPARE_FAILURE: 0x285,
} as const

/** Bit of the status field: the same command will fail again. */
export const DO_NOT_RETRY = 0x4000
