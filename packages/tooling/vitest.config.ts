export { withMadeOnce as default } from './src/vitest.ts'
