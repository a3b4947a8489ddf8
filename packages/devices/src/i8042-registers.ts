/* Registers and commands of the keyboard controller. */
export const PORT_DATA = 0x60
export const PORT_COMMAND = 0x64

export const STATUS_OBF = 0x01
export const STATUS_SYSTEM = 0x04
export const STATUS_COMMAND = 0x08
export const STATUS_UNLOCKED = 0x10
export const STATUS_AUX_OBF = 0x20
export const STATUS_TIMEOUT = 0x40

// Command byte (controller RAM byte 0).
export const CB_KEYBOARD_INTERRUPT = 0x01
export const CB_AUX_INTERRUPT = 0x02
export const CB_SYSTEM = 0x04
export const CB_KEYBOARD_DISABLED = 0x10
export const CB_AUX_DISABLED = 0x20
export const CB_TRANSLATE = 0x40

export const READ_RAM_FIRST = 0x20
export const READ_RAM_LAST = 0x3f
export const WRITE_RAM_FIRST = 0x60
export const WRITE_RAM_LAST = 0x7f
export const DISABLE_AUX = 0xa7
export const ENABLE_AUX = 0xa8
export const TEST_AUX = 0xa9
export const SELF_TEST = 0xaa
export const TEST_KEYBOARD = 0xab
export const DISABLE_KEYBOARD = 0xad
export const ENABLE_KEYBOARD = 0xae
export const READ_INPUT_PORT = 0xc0
export const READ_OUTPUT_PORT = 0xd0
export const WRITE_OUTPUT_PORT = 0xd1
export const WRITE_KEYBOARD_BUFFER = 0xd2
export const WRITE_AUX_BUFFER = 0xd3
export const WRITE_AUX = 0xd4
export const DISABLE_A20 = 0xdd
export const ENABLE_A20 = 0xdf
export const READ_TEST_INPUTS = 0xe0
export const PULSE_FIRST = 0xf0

export const SELF_TEST_PASSED = 0x55
export const INTERFACE_GOOD = 0x00
/** Keyboard lock open, manufacturing jumper absent. */
export const INPUT_PORT = 0xa0
export const OUTPUT_NOT_RESET = 0x01
export const OUTPUT_A20 = 0x02
/** Clock and data of keyboard and mouse, high while nothing is plugged in. */
export const OUTPUT_IDLE_LINES = 0xcc
export const OUTPUT_KEYBOARD_IRQ = 0x10
export const OUTPUT_AUX_IRQ = 0x20
/** The byte that the controller puts in the buffer when a device does not take a byte. */
export const DEVICE_TIMEOUT = 0xfe
