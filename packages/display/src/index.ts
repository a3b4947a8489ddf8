/**
 * The screen, keyboard and mouse of a virtual machine.
 *
 * @packageDocumentation
 */
export { DisplayError, type DisplayErrorCode } from './errors.ts'
export { Screen, type ScreenFrame, type ScreenOptions } from './screen.ts'
export type { InputQueue } from './input/input-queue.ts'
export { Keyboard, type KeyboardLeds, type KeyboardOptions } from './input/keyboard.ts'
export type { KeyDigit, KeyLetter, KeyName, KeySide } from './input/keys.ts'
export type { KeyboardLayout, KeyboardLayoutName, KeyStroke } from './input/layouts.ts'
export { TerminalKeyboard, type TerminalKeyboardOptions } from './input/terminal-keyboard.ts'
export { Mouse, type MouseButton, type PointerKind } from './input/mouse.ts'
export { VncServer, type VncConnection, type VncServerOptions } from './vnc/server.ts'
export type { Compressor, VncTransport } from './vnc/update-sender.ts'
export { TerminalPicture, type TerminalSize } from './terminal-picture.ts'
