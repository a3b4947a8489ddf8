/**
 * Interpreters generated ahead: a program that keeps them in a file starts a second of processor time sooner.
 *
 * @packageDocumentation
 */
export { packInterpreters, useInterpreters } from './engine.ts'
