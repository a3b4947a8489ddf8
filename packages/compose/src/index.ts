export { ComposeError } from './errors.ts'
export type { ComposeProject } from './model.ts'
export { readCompose } from './project.ts'
export type { ReadComposeOptions } from './project.ts'
