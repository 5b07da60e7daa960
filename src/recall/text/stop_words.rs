//! What nearly every text of a language has, and what questions ask with. Of English more than of the others.

use super::Language;

/// Separated by spaces, in lower case.
pub(super) fn of(language: Language) -> &'static str {
    match language {
        Language::English => {
            "a an and are as at be but by for if in into is it no not of on or such that the their then there these they \
             this to was will with what when where which who whom whose why how do does did done has have had having would \
             could should can might i you he she we me my your his her our us them him its been being were am so than \
             too very from about i'm i've i'd i'll you're you've we're we've they're it's don't didn't doesn't isn't"
        }
        Language::Danish => {
            "og i jeg det at en den til er som på de med han af for ikke der var mig sig men et har om vi min havde ham hun nu \
             over da fra du ud sin dem os op man hans hvor eller hvad skal selv her alle vil blev kunne ind når være dog \
             noget ville jo deres efter ned skulle denne end dette mit også under have dig anden hende mine alt meget sit \
             sine vor mod disse hvis din nogle hos blive mange ad bliver hendes været hvornår hvem hvorfor hvilken hvordan"
        }
        Language::Dutch => {
            "de en van ik te dat die in een hij het niet zijn is was op aan met als voor had er maar om hem dan zou of wat mijn \
             men dit zo door over ze zich bij ook tot je mij uit der daar haar naar heb hoe heeft hebben deze u want nog zal \
             me zij nu ge geen omdat iets worden toch al waren veel meer doen toen moet ben zonder kan hun dus alles onder ja \
             eens hier wie werd altijd doch wordt wezen kunnen ons zelf tegen na reeds wil kon niets uw iemand geweest andere \
             wanneer waar waarom welke welk"
        }
        Language::Finnish => {
            "ja on ei se että hän oli joka mutta ovat olla kun niin myös kuin tai jos minä sinä me te he ne tämä tuo nämä nuo \
             mikä mitä missä milloin koska kuka ketä miksi miten mihin mistä onko oliko olen olet olemme olette olivat ollut \
             sen siitä siinä sitä hänen minun sinun meidän teidän heidän"
        }
        Language::French => {
            "au aux avec ce ces dans de des du elle en et eux il ils je la le les leur lui ma mais me même mes moi mon ne nos \
             notre nous on ou par pas pour qu que qui sa se ses son sur ta te tes toi ton tu un une vos votre vous c d j l à m \
             n s t y été es est sont était étaient suis sommes êtes ai as a avons avez ont avait avaient quand où comment \
             pourquoi quel quelle quels quelles quoi combien est-ce cette cet plus l'on c'est d'un d'une qu'il qu'elle n'est \
             s'est j'ai"
        }
        Language::German => {
            "aber alle als also am an auch auf aus bei bin bis bist da damit dann das dass dein deine dem den der des dich die \
             dies diese dieser dieses dir doch dort du durch ein eine einem einen einer eines er es euch euer für gegen hab \
             habe haben hat hatte hatten hier ich ihm ihn ihnen ihr ihre im in ist ja jede jeder jedes jetzt kann kein keine \
             können mein meine mich mir mit muss nach nicht noch nun nur ob oder ohne sehr sein seine sich sie sind so über um \
             und uns unser unter vom von vor war waren was weil wenn wer werden wie wieder will wir wird wo wollen würde zu \
             zum zur zwischen wann warum wieso weshalb wem wen wessen welche welcher welches welchen woher wohin worüber"
        }
        Language::Italian => {
            "ad al allo ai agli alla alle con col da dal dallo dai dagli dalla dalle di del dello dei degli della delle in nel \
             nello nei negli nella nelle su sul sullo sui sugli sulla sulle per tra fra io tu lui lei noi voi loro mio mia \
             miei mie tuo tua suo sua nostro nostra vostro vostra mi ti ci vi lo la li le gli ne il un uno una ma ed se perché \
             anche come dov dove che chi cui non più quale quanto quanti quella quelle quello questo questa questi queste si \
             tutto tutti a e i l o ho hai ha abbiamo avete hanno aveva sono sei è siamo siete era erano stato stata quando cosa \
             cos'è qual"
        }
        Language::Norwegian => {
            "og i jeg det at en et den til er som på de med han av ikke ikkje der så var meg seg men ett har om vi min mitt ha \
             hadde hun nå over da ved fra du ut sin dem oss opp man kan hans hvor eller hva skal selv sjøl her alle vil bli ble \
             blitt kunne inn når være kom noen noe ville dere deres kun ja etter ned skulle denne for deg si sine sitt mot å \
             meget hvorfor dette disse uten hvordan ingen din ditt blir samme hvilken hvilke sånn inni mellom vår hver hvem"
        }
        Language::Portuguese => {
            "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou \
             ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo aos ter seus quem \
             nas me esse eles estão você tinha foram essa num nem suas meu às minha têm numa pelos elas havia seja qual será \
             nós tenho lhe deles essas esses pelas este onde quais quanto quantos porque aonde"
        }
        Language::Russian => {
            "и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было вот от меня \
             еще ещё нет о из ему теперь когда даже ну вдруг ли если уже или ни быть был него до вас нибудь опять уж вам ведь \
             там потом себя ничего ей может они тут где есть надо ней для мы тебя их чем была сам чтоб без будто чего раз тоже \
             себе под будет ж тогда кто этот того потому этого какой какая какие каком куда зачем почему сколько откуда чей"
        }
        Language::Spanish => {
            "de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque esta \
             entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno les ni contra otros \
             ese eso ante ellos e esto mí antes algunos qué unos yo otro otras otra él tanto esa estos mucho quienes nada \
             cuál cuáles cuándo dónde cómo quién quiénes cuánto cuántos cuántas es son fue fueron era está están ha han había \
             tiene mi tu te"
        }
        Language::Swedish => {
            "och det att i en jag hon som han på den med var sig för så till är men ett om hade de av icke mig du henne då sin \
             nu har inte hans honom skulle hennes där min man ej vid kunde något från ut när efter upp vi dem vara vad över än \
             dig kan sina här ha mot alla under någon eller allt mycket sedan ju denna själv detta åt utan varit hur ingen mitt \
             ni bli blev oss din dessa några deras blir mina samma vilken er sådan vår blivit dess inom mellan sådant varför \
             vart vem vilka vars"
        }
    }
}
