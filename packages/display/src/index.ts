/**
 * The screen, keyboard and mouse of a virtual machine.
 *
 * @packageDocumentation
 */
export { DisplayError } from './errors.ts'
export { Screen, type ScreenFrame } from './screen.ts'
export { Keyboard } from './input/keyboard.ts'
export type { KeyName } from './input/keys.ts'
export type { KeyboardLayout, KeyboardLayoutName } from './input/layouts.ts'
export { TerminalKeyboard } from './input/terminal-keyboard.ts'
export { Mouse, type PointerKind } from './input/mouse.ts'
export { VncServer, type VncConnection, type VncServerOptions } from './vnc/server.ts'
export type { VncTransport } from './vnc/update-sender.ts'
export { TerminalPicture, type TerminalSize } from './terminal-picture.ts'
