/** Bytes of a transfer request block. */
export const TRB_BYTES = 16

/** Types of TRB. Source: xHCI 1.2, table 6-91. */
export const TRB = {
  NORMAL: 1,
  SETUP_STAGE: 2,
  DATA_STAGE: 3,
  STATUS_STAGE: 4,
  LINK: 6,
  EVENT_DATA: 7,
  NO_OP: 8,
  ENABLE_SLOT: 9,
  DISABLE_SLOT: 10,
  ADDRESS_DEVICE: 11,
  CONFIGURE_ENDPOINT: 12,
  EVALUATE_CONTEXT: 13,
  RESET_ENDPOINT: 14,
  STOP_ENDPOINT: 15,
  SET_DEQUEUE: 16,
  RESET_DEVICE: 17,
  NO_OP_COMMAND: 23,
  TRANSFER_EVENT: 32,
  COMMAND_COMPLETION: 33,
  PORT_STATUS_CHANGE: 34,
  HOST_CONTROLLER: 37,
  FRAME_WRAP: 39,
} as const

/** Completion codes. Source: xHCI 1.2, table 6-90. */
export const CODE = {
  SUCCESS: 1,
  BABBLE: 3,
  TRANSACTION_ERROR: 4,
  TRB_ERROR: 5,
  STALL: 6,
  NO_SLOTS: 9,
  SLOT_NOT_ENABLED: 11,
  ENDPOINT_NOT_ENABLED: 12,
  SHORT_PACKET: 13,
  PARAMETER_ERROR: 17,
  CONTEXT_STATE: 19,
  EVENT_RING_FULL: 21,
  RING_STOPPED: 24,
  STOPPED: 26,
} as const

/** Flags of a TRB's last word. Source: xHCI 1.2, §6.4.1. */
export const FLAG = {
  CYCLE: 0x01,
  /** In a Link TRB: the cycle bit toggles afterwards. */
  TOGGLE_CYCLE: 0x02,
  /** In an event: its data is a value that the driver has given. */
  EVENT_DATA: 0x04,
  /** Event on a short packet. */
  SHORT_PACKET: 0x04,
  CHAIN: 0x10,
  /** Event on completion. */
  ON_COMPLETION: 0x20,
  /** The data is in the TRB itself. */
  IMMEDIATE: 0x40,
  /** The event raises no interrupt. */
  BLOCK_INTERRUPT: 0x200,
  /** In Configure Endpoint: removes all endpoints. In Address Device: the device gets no SET_ADDRESS ("block set address"). */
  DECONFIGURE: 0x200,
  /** In a Data or Status Stage TRB: the data goes to the host. */
  IN: 0x1_0000,
} as const

/** A TRB, decoded from its ring. */
export interface Trb {
  /** Guest-physical address. */
  readonly address: number
  readonly lo: number
  readonly hi: number
  readonly status: number
  readonly control: number
}

export const typeOf = ({ control }: Trb): number => (control >>> 10) & 0x3f

/** Bytes that a transfer TRB moves. */
export const lengthOf = ({ status }: Trb): number => status & 0x1_ffff

/** The pointer in a TRB's first two words. */
export const pointerOf = ({ lo, hi }: Trb): number => hi * 2 ** 32 + (lo >>> 0)

/** An event's four words, without the cycle bit. */
export type EventWords = readonly [lo: number, hi: number, status: number, control: number]

export const lowOf = (address: number): number => address % 2 ** 32
export const highOf = (address: number): number => Math.floor(address / 2 ** 32)
