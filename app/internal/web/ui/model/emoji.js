// Emoji by the names that people type: ":heart:".

const TABLE = `
smile 😄|grin 😁|joy 😂|rofl 🤣|slight_smile 🙂|wink 😉|blush 😊|innocent 😇|heart_eyes 😍|star_struck 🤩|kiss 😘|yum 😋|
tongue 😛|zany 🤪|hug 🤗|giggle 🤭|quiet 🤫|think 🤔|zipper 🤐|raised_eyebrow 🤨|neutral 😐|expressionless 😑|smirk 😏|unamused 😒|
roll_eyes 🙄|grimace 😬|relieved 😌|pensive 😔|sleepy 😪|drool 🤤|sleep 😴|mask 😷|sick 🤢|hot 🥵|cold 🥶|dizzy 😵|
mind_blown 🤯|cowboy 🤠|party 🥳|cool 😎|nerd 🤓|confused 😕|worried 😟|open_mouth 😮|astonished 😲|flushed 😳|pleading 🥺|cry 😢|
sob 😭|scream 😱|disappointed 😞|sweat 😓|tired 😫|yawn 🥱|triumph 😤|angry 😠|rage 😡|skull 💀|poop 💩|clown 🤡|
ghost 👻|alien 👽|robot 🤖|cat 🐱|dog 🐶|fox 🦊|panda 🐼|monkey 🐒|penguin 🐧|owl 🦉|bee 🐝|butterfly 🦋|
turtle 🐢|octopus 🐙|whale 🐳|unicorn 🦄|thumbsup 👍|thumbsdown 👎|clap 👏|raised_hands 🙌|pray 🙏|handshake 🤝|muscle 💪|wave 👋|
ok_hand 👌|victory ✌️|crossed_fingers 🤞|point_up ☝️|point_right 👉|eyes 👀|brain 🧠|shrug 🤷|facepalm 🤦|run 🏃|dance 💃|
heart ❤️|orange_heart 🧡|yellow_heart 💛|green_heart 💚|blue_heart 💙|purple_heart 💜|black_heart 🖤|broken_heart 💔|sparkles ✨|star ⭐|fire 🔥|boom 💥|
hundred 💯|zzz 💤|tada 🎉|confetti 🎊|balloon 🎈|gift 🎁|trophy 🏆|medal 🏅|soccer ⚽|basketball 🏀|game 🎮|dart 🎯|
music 🎵|guitar 🎸|art 🎨|camera 📷|film 🎬|phone 📱|laptop 💻|bulb 💡|book 📖|pencil ✏️|memo 📝|calendar 📅|
pin 📌|link 🔗|lock 🔒|key 🔑|hammer 🔨|wrench 🔧|gear ⚙️|bug 🐛|rocket 🚀|plane ✈️|car 🚗|train 🚆|
bike 🚲|ship 🚢|house 🏠|tent ⛺|mountain ⛰️|beach 🏖️|world 🌍|sun ☀️|moon 🌙|cloud ☁️|rain 🌧️|snow ❄️|
rainbow 🌈|umbrella ☔|zap ⚡|rose 🌹|sunflower 🌻|tree 🌳|leaf 🍃|apple 🍎|banana 🍌|strawberry 🍓|avocado 🥑|bread 🍞|
cheese 🧀|pizza 🍕|burger 🍔|fries 🍟|taco 🌮|sushi 🍣|cake 🍰|cookie 🍪|popcorn 🍿|coffee ☕|tea 🍵|beer 🍺|
cheers 🍻|wine 🍷|check ✅|x ❌|question ❓|exclamation ❗|warning ⚠️|stop 🛑|plus ➕|minus ➖|up ⬆️|down ⬇️|
hourglass ⏳|alarm ⏰|money 💰|chart 📈|mail 📧|package 📦|bell 🔔|loud 📢|speech 💬|flag 🏁|white_flag 🏳️|pirate 🏴‍☠️`;

export const EMOJI = TABLE.replaceAll('\n', '').split('|').map((each) => each.split(' '));

const byName = new Map(EMOJI);

export const QUICK = ['👍', '❤️', '😂', '🎉', '😮', '🙏'];

// named puts emoji where text says their names.
export const named = (text) => text.replace(/:([a-z_]+):/g, (whole, name) => byName.get(name) ?? whole);

// find returns [name, emoji] of which the name has typed in it, those that
// begin with it first.
export function find(typed, most) {
  const has = EMOJI.filter(([name]) => name.includes(typed));
  const begins = ([name]) => (name.startsWith(typed) ? 0 : 1);
  return has.sort((a, b) => begins(a) - begins(b)).slice(0, most);
}
